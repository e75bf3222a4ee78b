CREATE TABLE {{port_maps}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "node_id" BLOB NOT NULL CHECK (length("node_id") = 16),
    "instance_id" BLOB CHECK (length("instance_id") = 16),
    "family" TEXT NOT NULL,
    "protocol" TEXT NOT NULL,
    "port" INTEGER NOT NULL,
    "managed" INTEGER NOT NULL DEFAULT 1 CHECK ("managed" IN (0, 1)),
    "name" TEXT,
    "created_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "port_maps_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "port_maps_instance" FOREIGN KEY ("instance_id") REFERENCES {{instances}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "port_maps_family" CHECK ("family" IN ('ipv4', 'ipv6')),
    CONSTRAINT "port_maps_protocol" CHECK ("protocol" IN ('tcp', 'udp')),
    CONSTRAINT "port_maps_port_positive" CHECK ("port" >= 1),
    CONSTRAINT "port_maps_port_at_most_65535" CHECK ("port" <= 65535)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:port_maps_slot}} ON {{port_maps}} ("node_id", "family", "protocol", "port");

CREATE INDEX {{bare:port_maps_instance}} ON {{port_maps}} ("instance_id", "id");
