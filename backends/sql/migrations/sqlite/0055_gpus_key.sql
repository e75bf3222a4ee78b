-- The name that its driver gives a GPU.
ALTER TABLE {{gpus}} ADD COLUMN "key" TEXT;

CREATE UNIQUE INDEX {{bare:gpus_node_key}} ON {{gpus}} ("node_id", "key");
