-- A port may be that of a container that nobody launched here.
ALTER TABLE {{port_maps}} ADD COLUMN "foreign_id" uuid;

ALTER TABLE {{port_maps}} ADD CONSTRAINT "port_maps_foreign" FOREIGN KEY ("foreign_id") REFERENCES {{foreign_instances}} ("id") ON DELETE RESTRICT;

CREATE INDEX {{bare:port_maps_foreign}} ON {{port_maps}} ("foreign_id" NULLS FIRST, "id");
