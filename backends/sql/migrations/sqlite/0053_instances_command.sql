-- The command that it waits for.
ALTER TABLE {{instances}} ADD COLUMN "command_id" BLOB CHECK (length("command_id") = 16);
