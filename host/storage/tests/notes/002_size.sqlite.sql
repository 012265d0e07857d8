-- min_reader: 1
ALTER TABLE note ADD COLUMN size bigint;
CREATE TRIGGER note_size AFTER INSERT ON note BEGIN
    UPDATE note SET size = CASE WHEN new.text = '' THEN 0 ELSE length(new.text) END WHERE id = new.id;
END;
