/* Made from sdk/abi/src/lib.rs by `cargo xtask header`; a change here is lost.
 * The boundary between a Jackfield host and a plugin in a shared library: `#[repr(C)]` types, no code, no dependencies.
 *
 * Most authors never see it: `jackfield-sdk` speaks it for them. It is enough by itself for a plugin in C, or in Rust
 * without the SDK.
 *
 * # Rules
 *
 * - **Two symbols** per plugin, with `-` in the id written `_`: `jackfield_manifest_{id}`, a constant with JSON text
 *   that the host reads without loading the file (JACKFIELD_MANIFEST_PREFIX), and `jackfield_entry_{id}`, an jackfield_entry_fn.
 * - **Evolution**: every struct that may grow begins with `size`, the bytes its maker knew, and grows at its end only.
 *   Whoever reads a field first checks that `size` covers it, and goes without what is missing. JACKFIELD_MAJOR changes when
 *   that is not enough; JACKFIELD_MINOR counts additions. A host runs plugins of its own minor and of every earlier one, never
 *   of a later one: what a plugin gives may be shorter than the host's struct, what a host gives may be longer than the
 *   plugin's. What is added to a plugin's structs may be null, so that a source that does not know it builds as before where
 *   what is not named is zero. jackfield_slice, jackfield_buffer, jackfield_header, jackfield_future, jackfield_body and jackfield_response_future never grow.
 * - **Ownership**: an owned value is freed by its own function, exactly once, by whoever holds it. Nothing that one side
 *   allocates is freed by the other's allocator. Borrowed values (jackfield_slice, `*const Waker`, `*const RequestHead`) are
 *   valid until the call returns.
 * - **Threads**: every object may be used from any thread; a future, a body or a response future is polled by one thread
 *   at a time. `retain`, `release`, `clone`, `wake`, `drop` and `call` may be called at any time.
 * - **Unwinding** never crosses. A function that may run plugin code catches panics and answers JACKFIELD_PANICKED.
 * - **Encodings**: descriptor, configuration and the control operations (JACKFIELD_OP_CREATE, JACKFIELD_OP_HEALTH, JACKFIELD_OP_RECONFIGURE,
 *   JACKFIELD_OP_DRAIN) are JSON; jobs and host services are MessagePack, arguments as an array, structs as maps.
 */
#ifndef JACKFIELD_H
#define JACKFIELD_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct jackfield_slice jackfield_slice;
typedef struct jackfield_buffer jackfield_buffer;
typedef struct jackfield_waker jackfield_waker;
typedef struct jackfield_waker_vtable jackfield_waker_vtable;
typedef struct jackfield_future jackfield_future;
typedef struct jackfield_future_vtable jackfield_future_vtable;
typedef struct jackfield_header jackfield_header;
typedef struct jackfield_request_head jackfield_request_head;
typedef struct jackfield_body jackfield_body;
typedef struct jackfield_body_vtable jackfield_body_vtable;
typedef struct jackfield_response jackfield_response;
typedef struct jackfield_response_future jackfield_response_future;
typedef struct jackfield_response_future_vtable jackfield_response_future_vtable;
typedef struct jackfield_entry jackfield_entry;
typedef struct jackfield_instance jackfield_instance;
typedef struct jackfield_instance_vtable jackfield_instance_vtable;
typedef struct jackfield_host jackfield_host;
typedef struct jackfield_host_vtable jackfield_host_vtable;

/* Incompatible changes so far. */
#define JACKFIELD_MAJOR 1

/* Compatible additions since JACKFIELD_MAJOR. 1: `jackfield_instance_vtable.tasks`, `jackfield_host_vtable.record`. */
#define JACKFIELD_MINOR 1

/* What a manifest symbol's name begins with. */
#define JACKFIELD_MANIFEST_PREFIX "jackfield_manifest_"

/* What an entry symbol's name begins with. */
#define JACKFIELD_ENTRY_PREFIX "jackfield_entry_"

/* Not finished; the waker was kept and will be woken. */
#define JACKFIELD_PENDING 0

/* Finished well; the out value is set. */
#define JACKFIELD_READY 1

/* Finished badly; the error buffer is set. */
#define JACKFIELD_FAILED 2

/* The plugin panicked; the error buffer holds the panic's text. */
#define JACKFIELD_PANICKED 3

/* A body has ended; nothing is set. */
#define JACKFIELD_ENDED 4

/* A body frame that holds trailers: `name: value` lines, each ended by CR LF. */
#define JACKFIELD_TRAILERS 5

/* Borrowed bytes. `ptr` may be null when `len` is 0. */
struct jackfield_slice {
    /* First byte. */
    const uint8_t *ptr;
    /* Number of bytes. */
    size_t len;
};

/* Owned bytes. Without `free` they are static. */
struct jackfield_buffer {
    /* First byte; null when `len` is 0. */
    const uint8_t *ptr;
    /* Number of bytes. */
    size_t len;
    /* What `free` takes. */
    void *owner;
    /* Frees the bytes. */
    void (*free)(void *owner);
};

/* Wakes a task. A pointer to an object whose first word is its vtable; the maker's own fields may follow. */
struct jackfield_waker {
    /* Functions. */
    const jackfield_waker_vtable *vtable;
};

/* Functions of a jackfield_waker. */
struct jackfield_waker_vtable {
    /* Bytes of this struct. */
    size_t size;
    /* Another owned waker for the same task. */
    const jackfield_waker *(*clone)(const jackfield_waker *waker);
    /* Wakes and drops. */
    void (*wake)(const jackfield_waker *waker);
    /* Wakes. */
    void (*wake_by_ref)(const jackfield_waker *waker);
    /* Drops. */
    void (*drop)(const jackfield_waker *waker);
};

/* A future of bytes. */
struct jackfield_future {
    /* Its state. */
    void *data;
    /* Functions. */
    const jackfield_future_vtable *vtable;
};

/* Functions of a jackfield_future. */
struct jackfield_future_vtable {
    /* Bytes of this struct. */
    size_t size;
    /* JACKFIELD_PENDING; or JACKFIELD_READY, JACKFIELD_FAILED, JACKFIELD_PANICKED with `out` set. Not called again after that. */
    uint32_t (*poll)(void *data, const jackfield_waker *waker, jackfield_buffer *out);
    /* Drops the state, finished or not. */
    void (*drop)(void *data);
};

/* One header field. */
struct jackfield_header {
    /* Lower-case name. */
    jackfield_slice name;
    /* Value. */
    jackfield_slice value;
};

/* The head of a request. */
struct jackfield_request_head {
    /* Bytes of this struct. */
    size_t size;
    /* `GET`, … */
    jackfield_slice method;
    /* Path and query as they came. */
    jackfield_slice uri;
    /* Headers in order. */
    const jackfield_header *headers;
    /* Number of headers. */
    size_t headers_len;
    /* Who calls, as JSON `{"id","kind","scopes"}`; empty for the anonymous. */
    jackfield_slice principal;
    /* Id of the host's span that the plugin's spans belong under; 0 for the one that the host is in while it polls. */
    uint64_t span;
};

/* A stream of bytes. Dropping it early cancels it. */
struct jackfield_body {
    /* Its state. */
    void *data;
    /* Functions. */
    const jackfield_body_vtable *vtable;
};

/* Functions of a jackfield_body. */
struct jackfield_body_vtable {
    /* Bytes of this struct. */
    size_t size;
    /* JACKFIELD_PENDING; JACKFIELD_READY with data; JACKFIELD_TRAILERS; JACKFIELD_ENDED; JACKFIELD_FAILED or JACKFIELD_PANICKED with a text. */
    uint32_t (*poll)(void *data, const jackfield_waker *waker, jackfield_buffer *out);
    /* Bytes that are left: at least `lower`; exactly `lower` when it answers 1, unknown above when it answers 0. */
    uint32_t (*remaining)(const void *data, uint64_t *lower);
    /* Drops the state. */
    void (*drop)(void *data);
};

/* An answer. `headers` stay valid until `free(owner)`; the body is owned by whoever holds the response. */
struct jackfield_response {
    /* Bytes of this struct. */
    size_t size;
    /* HTTP status. */
    uint32_t status;
    /* Headers in order. */
    const jackfield_header *headers;
    /* Number of headers. */
    size_t headers_len;
    /* What `free` takes. */
    void *owner;
    /* Frees the headers; none when they are static. */
    void (*free)(void *owner);
    /* The body. */
    jackfield_body body;
};

/* A future of a jackfield_response. */
struct jackfield_response_future {
    /* Its state. */
    void *data;
    /* Functions. */
    const jackfield_response_future_vtable *vtable;
};

/* Functions of a jackfield_response_future. */
struct jackfield_response_future_vtable {
    /* Bytes of this struct. */
    size_t size;
    /* JACKFIELD_PENDING; JACKFIELD_READY with `out` set; JACKFIELD_FAILED or JACKFIELD_PANICKED with `error` set. */
    uint32_t (*poll)(void *data, const jackfield_waker *waker, jackfield_response *out, jackfield_buffer *error);
    /* Drops the state, finished or not. */
    void (*drop)(void *data);
};

/* What `jackfield_entry_{id}` is. The answer is static. */
typedef const jackfield_entry *(*jackfield_entry_fn)(void);

/* A plugin's code. */
struct jackfield_entry {
    /* Bytes of this struct. */
    size_t size;
    /* JACKFIELD_MAJOR it was built with. */
    uint32_t major;
    /* JACKFIELD_MINOR it was built with. */
    uint32_t minor;
    /* The descriptor as JSON. JACKFIELD_READY, or JACKFIELD_PANICKED with a text in `out`. */
    uint32_t (*descriptor)(jackfield_buffer *out);
    /* Checks a configuration (JSON) without side effects. JACKFIELD_READY, or JACKFIELD_FAILED or JACKFIELD_PANICKED with a text in `out`. */
    uint32_t (*validate)(jackfield_slice config, jackfield_buffer *out);
    /* An instance that is not created yet: JACKFIELD_OP_CREATE follows. Takes over one reference to `host`. Null with a text in
     * `out` when there can be none. */
    const jackfield_instance *(*instance)(const jackfield_host *host, jackfield_buffer *out);
};

/* Creates; takes the configuration (JSON), gives nothing. */
#define JACKFIELD_OP_CREATE 1

/* Runs one attempt of a job; takes a `JobCall`, gives a `JobEnd` (MessagePack). */
#define JACKFIELD_OP_RUN 2

/* The plugin's own verification; takes `[hook, [[name, value]…], body]`, gives `{"Ok": boolean}` or `{"Err": Failure}`
 * (MessagePack). */
#define JACKFIELD_OP_VERIFY 3

/* The secrets of a webhook for a sender; takes `[hook, key]`, gives `{"Ok": [[value, not_after_ms or nil]…]}` or
 * `{"Err": Failure}` (MessagePack). */
#define JACKFIELD_OP_SECRETS 4

/* How it is; takes nothing, gives `{"status","detail"}` (JSON). */
#define JACKFIELD_OP_HEALTH 5

/* Takes a configuration (JSON), gives `true` when it works with it from now on, `false` when it asks for a new instance. */
#define JACKFIELD_OP_RECONFIGURE 6

/* Lets go of what it holds; takes and gives nothing. */
#define JACKFIELD_OP_DRAIN 7

/* A running plugin. A pointer to an object whose first word is its vtable; the maker's own fields may follow. */
struct jackfield_instance {
    /* Functions. */
    const jackfield_instance_vtable *vtable;
};

/* Functions of an jackfield_instance. */
struct jackfield_instance_vtable {
    /* Bytes of this struct. */
    size_t size;
    /* One of the `OP_…` operations. An unknown one answers JACKFIELD_FAILED. `span` as in `jackfield_request_head.span`. */
    jackfield_future (*call)(const jackfield_instance *instance, uint32_t op, jackfield_slice input, uint64_t span);
    /* Answers a request. Takes over the body. */
    jackfield_response_future (*serve)(const jackfield_instance *instance, const jackfield_request_head *head, jackfield_body body);
    /* Ends its tasks. Called once, after its futures are dropped, on a thread that may block. */
    void (*retire)(const jackfield_instance *instance);
    /* Drops it. Called once, last. */
    void (*release)(const jackfield_instance *instance);
    /* How many tasks its own runtime has; the host only shows the number. Since minor 1; none when it has no such runtime. */
    uint64_t (*tasks)(const jackfield_instance *instance);
};

/* The host, as one instance sees it. A pointer to an object whose first word is its vtable. */
struct jackfield_host {
    /* Functions. */
    const jackfield_host_vtable *vtable;
};

/* Adds to a counter. */
#define JACKFIELD_METRIC_COUNT 0

/* Sets a gauge. */
#define JACKFIELD_METRIC_GAUGE 1

/* Records into a histogram. */
#define JACKFIELD_METRIC_RECORD 2

/* Log levels, as `tracing` orders them. */
#define JACKFIELD_LEVEL_ERROR 1

/* See JACKFIELD_LEVEL_ERROR. */
#define JACKFIELD_LEVEL_WARN 2

/* See JACKFIELD_LEVEL_ERROR. */
#define JACKFIELD_LEVEL_INFO 3

/* See JACKFIELD_LEVEL_ERROR. */
#define JACKFIELD_LEVEL_DEBUG 4

/* See JACKFIELD_LEVEL_ERROR. */
#define JACKFIELD_LEVEL_TRACE 5

/* Functions of a jackfield_host. */
struct jackfield_host_vtable {
    /* Bytes of this struct. */
    size_t size;
    /* One more reference. */
    void (*retain)(const jackfield_host *host);
    /* One reference less. */
    void (*release)(const jackfield_host *host);
    /* Calls a method of a service; JACKFIELD_FAILED carries a `ServiceError` (MessagePack). */
    jackfield_future (*call)(const jackfield_host *host, uint32_t service, uint32_t method, jackfield_slice input);
    /* Milliseconds since the Unix epoch, by the host's clock. */
    int64_t (*now_ms)(const jackfield_host *host);
    /* A metric of kind `METRIC_…`; `labels` are `name=value` lines, each ended by LF. */
    void (*metric)(const jackfield_host *host, uint32_t kind, jackfield_slice name, jackfield_slice labels, double value);
    /* The most verbose level that is written. */
    uint32_t (*level)(const jackfield_host *host);
    /* Opens a span of a level under `parent` (0 for the one that the host is in) and gives its id; 0 when it is not kept,
     * and then what is said in it is said in `parent`. `fields` is a JSON object. */
    uint64_t (*span)(const jackfield_host *host, uint64_t parent, uint32_t level, jackfield_slice name, jackfield_slice fields);
    /* Ends a span. */
    void (*close)(const jackfield_host *host, uint64_t span);
    /* Writes an event in a span (0 for the one that the host is in). `fields` is a JSON object; `message` is one of them. */
    void (*event)(const jackfield_host *host, uint64_t span, uint32_t level, jackfield_slice target, jackfield_slice fields);
    /* Runs a task until it ends or the instance is retired; its result is dropped. */
    void (*spawn)(const jackfield_host *host, jackfield_future task);
    /* Adds fields (a JSON object) to a span. Since minor 1; without it they are lost. */
    void (*record)(const jackfield_host *host, uint64_t span, jackfield_slice fields);
};

/* What a manifest and an entry are declared with. */
#define JACKFIELD_EXPORT __attribute__((visibility("default")))

/* The target triple that a manifest names. */
#if defined(__x86_64__)
#define JACKFIELD_ARCH "x86_64"
#elif defined(__aarch64__)
#define JACKFIELD_ARCH "aarch64"
#elif defined(__riscv) && __riscv_xlen == 64
#define JACKFIELD_ARCH "riscv64"
#endif
#if defined(__GLIBC__)
#define JACKFIELD_TARGET JACKFIELD_ARCH "-unknown-linux-gnu"
#else
#define JACKFIELD_TARGET JACKFIELD_ARCH "-unknown-linux-musl"
#endif

#ifdef __cplusplus
}
#endif

#endif
