-- Whose rental a GPU is of.
ALTER TABLE {{gpus}} ADD COLUMN "provider" TEXT;
