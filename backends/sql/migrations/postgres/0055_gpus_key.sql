-- The name that its driver gives a GPU.
ALTER TABLE {{gpus}} ADD COLUMN "key" text COLLATE "C";

CREATE UNIQUE INDEX {{bare:gpus_node_key}} ON {{gpus}} ("node_id" NULLS FIRST, "key" NULLS FIRST);
