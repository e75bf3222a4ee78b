-- The command that it waits for.
ALTER TABLE {{images}} ADD COLUMN "command_id" BLOB CHECK (length("command_id") = 16);
