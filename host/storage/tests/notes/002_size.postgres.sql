-- min_reader: 1
ALTER TABLE note ADD COLUMN size bigint;
CREATE FUNCTION note_size() RETURNS trigger AS $$
BEGIN
    new.size = length(new.text);
    RETURN new;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER note_size BEFORE INSERT ON note FOR EACH ROW EXECUTE FUNCTION note_size();
