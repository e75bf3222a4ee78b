-- A port may be that of a container that nobody launched here.
ALTER TABLE {{port_maps}} ADD COLUMN "foreign_id" BLOB CHECK (length("foreign_id") = 16) CONSTRAINT "port_maps_foreign" REFERENCES {{foreign_instances}} ("id") ON DELETE RESTRICT;

CREATE INDEX {{bare:port_maps_foreign}} ON {{port_maps}} ("foreign_id", "id");
