//! An ELF file as the dynamic loader would see it: through its program headers, not its section headers, which `dlopen`
//! never looks at. `.comment`, which names the compilers, is the one section that is read.
//!
//! Every walk over the file is bounded by a count or by the file's own length, so that a file made to mislead costs no
//! more time or memory than an honest one of its size.

use object::{
    Endianness, elf,
    pod::slice_from_bytes,
    read::elf::{Dyn, FileHeader, GnuHashTable, HashTable, ProgramHeader, SectionHeader, Sym},
};

use super::{
    platform,
    refusal::{Reason, plain},
};

type Header = elf::FileHeader64<Endianness>;

/// The longest name that is read: far beyond any plugin's symbols, library names and version names.
const MAX_NAME: usize = 255;
/// The most libraries, and the most versions of symbols, that a file may ask for.
const MAX_ENTRIES: usize = 4096;
/// The most of `.comment` that is read.
const MAX_COMMENT: usize = 64 << 10;

const PAST_ADDRESS: Reason = Reason::Malformed("its dynamic section points outside of it");
const BAD_NAME: Reason = Reason::Malformed("a name in its dynamic section is too long or is not text");
const BAD_VERSIONS: Reason = Reason::Malformed("its table of symbol versions points outside of it");

/// A shared library in memory.
pub(super) struct Image<'d> {
    data: &'d [u8],
    endian: Endianness,
    header: &'d Header,
    segments: &'d [elf::ProgramHeader64<Endianness>],
    dynamic: Vec<(elf::DynamicTag, u64)>,
    strings: &'d [u8],
}

/// A symbol that the file defines and exports.
pub(super) struct Symbol {
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) is_function: bool,
    address: u64,
}

impl<'d> Image<'d> {
    /// Reads the headers of a whole file that must be a shared library for this host.
    pub(super) fn parse(data: &'d [u8]) -> Result<Self, Reason> {
        let header = header(data)?;
        let endian = header.endian().map_err(|_| Reason::Malformed("it has no byte order"))?;
        let truncated = |within| Reason::Truncated {
            size: data.len() as u64,
            within,
        };
        if header.e_shoff(endian) != 0 {
            // The table of sections is the last thing in the file, so this is what a cut takes first.
            let table = u64::from(header.e_shentsize(endian)) * u64::from(header.e_shnum(endian));
            if header.e_shoff(endian).saturating_add(table) > data.len() as u64 {
                return Err(truncated("its table of sections"));
            }
        }
        let segments = header
            .program_headers(endian, data)
            .map_err(|_| truncated("its table of segments"))?;
        for segment in segments {
            let (offset, size) = segment.file_range(endian);
            if segment.p_type(endian) == elf::PT_LOAD && offset.saturating_add(size) > data.len() as u64 {
                return Err(truncated("a segment"));
            }
        }
        let mut image = Self {
            data,
            endian,
            header,
            segments,
            dynamic: Vec::new(),
            strings: &[],
        };
        image.read_dynamic()?;
        Ok(image)
    }

    fn read_dynamic(&mut self) -> Result<(), Reason> {
        match self.header.e_type(self.endian) {
            elf::ET_DYN => {}
            elf::ET_EXEC => return Err(Reason::NotSharedObject("a program")),
            elf::ET_REL => return Err(Reason::NotSharedObject("an object file")),
            elf::ET_CORE => return Err(Reason::NotSharedObject("a core dump")),
            _ => return Err(Reason::NotSharedObject("an ELF file of an unknown type")),
        }
        let (data, endian) = (self.data, self.endian);
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.p_type(endian) == elf::PT_DYNAMIC)
            .ok_or(Reason::NotSharedObject("an ELF file without a dynamic section"))?;
        let entries = segment
            .dynamic(endian, data)
            .ok()
            .flatten()
            .ok_or(Reason::Malformed("its dynamic section lies outside of it"))?;
        self.dynamic = entries
            .iter()
            .map(|entry| (entry.d_tag(endian), entry.d_val(endian)))
            .take_while(|(tag, _)| *tag != elf::DT_NULL)
            .take(MAX_ENTRIES)
            .collect();
        // dlopen refuses such a file too, with a text that few understand.
        if self
            .value(elf::DT_FLAGS_1)
            .is_some_and(|flags| flags & elf::DF_1_PIE.0 != 0)
        {
            return Err(Reason::NotSharedObject("a program"));
        }
        if let Some(address) = self.value(elf::DT_STRTAB) {
            let from = self.bytes_at(address).ok_or(PAST_ADDRESS)?;
            let size = self.value(elf::DT_STRSZ).and_then(|size| usize::try_from(size).ok());
            self.strings = from.get(..size.unwrap_or(from.len())).ok_or(PAST_ADDRESS)?;
        }
        Ok(())
    }

    /// The libraries that are loaded with it.
    pub(super) fn libraries(&self) -> Result<Vec<String>, Reason> {
        self.dynamic
            .iter()
            .filter(|(tag, _)| [elf::DT_NEEDED, elf::DT_AUXILIARY, elf::DT_FILTER].contains(tag))
            .map(|(_, offset)| self.name(*offset).map(str::to_owned))
            .collect()
    }

    /// The versions of symbols that it needs: library and version.
    pub(super) fn versions_needed(&self) -> Result<Vec<(String, String)>, Reason> {
        let Some(mut at) = self.table(elf::DT_VERNEED)? else {
            return Ok(Vec::new());
        };
        let mut needed = Vec::new();
        for _ in 0..MAX_ENTRIES {
            let of: &elf::Verneed<Endianness> = first(at)?;
            let library = self.name(of.vn_file.get(self.endian).into())?;
            let mut versions = skip(at, of.vn_aux.get(self.endian))?;
            for _ in 0..of.vn_cnt.get(self.endian) {
                let version: &elf::Vernaux<Endianness> = first(versions)?;
                let name = self.name(version.vna_name.get(self.endian).into())?;
                if needed.len() == MAX_ENTRIES {
                    return Err(BAD_VERSIONS);
                }
                needed.push((library.to_owned(), name.to_owned()));
                versions = skip(versions, version.vna_next.get(self.endian))?;
            }
            match of.vn_next.get(self.endian) {
                0 => return Ok(needed),
                next => at = skip(at, next)?,
            }
        }
        Err(BAD_VERSIONS)
    }

    /// The versions of symbols that it defines.
    pub(super) fn versions_defined(&self) -> Result<Vec<String>, Reason> {
        let Some(mut at) = self.table(elf::DT_VERDEF)? else {
            return Ok(Vec::new());
        };
        let mut defined = Vec::new();
        for _ in 0..MAX_ENTRIES {
            let version: &elf::Verdef<Endianness> = first(at)?;
            let name: &elf::Verdaux<Endianness> = first(skip(at, version.vd_aux.get(self.endian))?)?;
            defined.push(self.name(name.vda_name.get(self.endian).into())?.to_owned());
            match version.vd_next.get(self.endian) {
                0 => return Ok(defined),
                next => at = skip(at, next)?,
            }
        }
        Err(BAD_VERSIONS)
    }

    /// The symbols that it defines and exports under names that begin with `prefix`.
    pub(super) fn exported(&self, prefix: &str) -> Result<Vec<Symbol>, Reason> {
        let Some(table) = self.table(elf::DT_SYMTAB)? else {
            return Ok(Vec::new());
        };
        let count = self.symbol_count()? as usize;
        let (symbols, _) = slice_from_bytes::<elf::Sym64<Endianness>>(table, count)
            .map_err(|()| Reason::Malformed("its table of symbols points outside of it"))?;
        let mut found = Vec::new();
        for symbol in symbols {
            let offset = symbol.st_name(self.endian);
            let has_prefix = usize::try_from(offset)
                .ok()
                .and_then(|offset| self.strings.get(offset..))
                .is_some_and(|name| name.starts_with(prefix.as_bytes()));
            let is_definition = symbol.st_shndx(self.endian) != elf::SHN_UNDEF
                && [elf::STB_GLOBAL, elf::STB_WEAK, elf::STB_GNU_UNIQUE].contains(&symbol.st_bind());
            if has_prefix && is_definition {
                found.push(Symbol {
                    name: self.name(offset.into())?.to_owned(),
                    size: symbol.st_size(self.endian),
                    is_function: symbol.st_type() == elf::STT_FUNC,
                    address: symbol.st_value(self.endian),
                });
                if found.len() == MAX_ENTRIES {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// What stands in the file where a symbol points to.
    pub(super) fn content(&self, symbol: &Symbol) -> Option<&'d [u8]> {
        self.bytes_at(symbol.address)?.get(..usize::try_from(symbol.size).ok()?)
    }

    /// The texts of `.comment`: each compiler and linker leaves one.
    pub(super) fn comments(&self) -> Vec<String> {
        let Some(bytes) = self.comment_section() else {
            return Vec::new();
        };
        let mut texts: Vec<String> = bytes[..bytes.len().min(MAX_COMMENT)]
            .split(|byte| *byte == 0)
            .filter(|text| !text.is_empty())
            .take(MAX_ENTRIES)
            .map(|text| plain(&String::from_utf8_lossy(text)))
            .collect();
        texts.sort();
        texts.dedup();
        texts
    }

    fn comment_section(&self) -> Option<&'d [u8]> {
        let sections = self.header.section_headers(self.endian, self.data).ok()?;
        let names = sections.get(usize::from(self.header.e_shstrndx(self.endian).0))?;
        let names = names.data(self.endian, self.data).ok()?;
        sections
            .iter()
            .find(|section| {
                names
                    .get(section.sh_name(self.endian) as usize..)
                    .is_some_and(|name| name.starts_with(b".comment\0"))
            })?
            .data(self.endian, self.data)
            .ok()
    }

    /// The dynamic section has no length of the symbol table; the hash table by which `dlsym` finds symbols has.
    fn symbol_count(&self) -> Result<u32, Reason> {
        const BAD_HASH: Reason = Reason::Malformed("its hash table of symbols contradicts itself");
        if let Some(table) = self.table(elf::DT_GNU_HASH)? {
            let table = GnuHashTable::<Header>::parse(self.endian, table).map_err(|_| BAD_HASH)?;
            // None: it exports nothing.
            return Ok(table.symbol_table_length(self.endian).unwrap_or(0));
        }
        if let Some(table) = self.table(elf::DT_HASH)? {
            let table = HashTable::<Header>::parse(self.endian, table).map_err(|_| BAD_HASH)?;
            return Ok(table.symbol_table_length());
        }
        Ok(0)
    }

    fn value(&self, wanted: elf::DynamicTag) -> Option<u64> {
        self.dynamic
            .iter()
            .find(|(tag, _)| *tag == wanted)
            .map(|(_, value)| *value)
    }

    fn table(&self, tag: elf::DynamicTag) -> Result<Option<&'d [u8]>, Reason> {
        self.value(tag)
            .map(|address| self.bytes_at(address).ok_or(PAST_ADDRESS))
            .transpose()
    }

    /// The file's bytes from where `address` will be, to the end of its segment.
    fn bytes_at(&self, address: u64) -> Option<&'d [u8]> {
        self.segments
            .iter()
            .filter(|segment| segment.p_type(self.endian) == elf::PT_LOAD)
            .find_map(|segment| {
                let inside = usize::try_from(address.checked_sub(segment.p_vaddr(self.endian))?).ok()?;
                segment.data(self.endian, self.data).ok()?.get(inside..)
            })
            .filter(|bytes| !bytes.is_empty())
    }

    fn name(&self, offset: u64) -> Result<&'d str, Reason> {
        let from = usize::try_from(offset)
            .ok()
            .and_then(|offset| self.strings.get(offset..))
            .ok_or(BAD_NAME)?;
        let end = from
            .iter()
            .take(MAX_NAME + 1)
            .position(|byte| *byte == 0)
            .ok_or(BAD_NAME)?;
        // It is printed: a control character could rewrite what stands around it on a terminal or in a log.
        let name = std::str::from_utf8(&from[..end]).map_err(|_| BAD_NAME)?;
        if name.chars().any(char::is_control) {
            return Err(BAD_NAME);
        }
        Ok(name)
    }
}

fn header(data: &[u8]) -> Result<&Header, Reason> {
    let magic = elf::ELFMAG;
    let seen = &data[..data.len().min(magic.len())];
    if data.starts_with(b"!<arch>\n") || data.starts_with(b"!<thin>\n") {
        return Err(Reason::NotSharedObject("a static archive"));
    }
    if !magic.starts_with(seen) {
        let begin = &data[..data.len().min(16)];
        return Err(Reason::NotElf(format!("\"{}\"", begin.escape_ascii())));
    }
    if data.len() < size_of::<elf::Ident>() {
        return Err(Reason::Truncated {
            size: data.len() as u64,
            within: "its header",
        });
    }
    // Class and byte order are single bytes, and decide how all others are read.
    if (data[4], data[5]) != (platform::CLASS, platform::DATA) {
        return Err(Reason::WrongTarget {
            found: platform::layout_name(data[4], data[5]),
            host: platform::TARGET.to_owned(),
        });
    }
    let (header, _) = object::pod::from_bytes::<Header>(data).map_err(|()| Reason::Truncated {
        size: data.len() as u64,
        within: "its header",
    })?;
    if !header.is_supported() {
        return Err(Reason::Malformed("its header has an unknown version"));
    }
    let endian = header.endian().map_err(|_| Reason::Malformed("it has no byte order"))?;
    let machine = header.e_machine(endian);
    if machine != platform::MACHINE {
        return Err(Reason::WrongTarget {
            found: platform::machine_name(machine),
            host: platform::TARGET.to_owned(),
        });
    }
    Ok(header)
}

fn first<T: object::pod::Pod>(bytes: &[u8]) -> Result<&T, Reason> {
    object::pod::from_bytes(bytes)
        .map(|(value, _)| value)
        .map_err(|()| BAD_VERSIONS)
}

fn skip(bytes: &[u8], count: u32) -> Result<&[u8], Reason> {
    bytes.get(count as usize..).ok_or(BAD_VERSIONS)
}
