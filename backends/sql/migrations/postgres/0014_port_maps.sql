CREATE TABLE {{port_maps}} (
    "id" uuid NOT NULL,
    "node_id" uuid NOT NULL,
    "instance_id" uuid,
    "family" text COLLATE "C" NOT NULL,
    "protocol" text COLLATE "C" NOT NULL,
    "port" bigint NOT NULL,
    "managed" boolean NOT NULL DEFAULT true,
    "name" text COLLATE "C",
    "created_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "port_maps_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "port_maps_instance" FOREIGN KEY ("instance_id") REFERENCES {{instances}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "port_maps_family" CHECK ("family" IN ('ipv4', 'ipv6')),
    CONSTRAINT "port_maps_protocol" CHECK ("protocol" IN ('tcp', 'udp')),
    CONSTRAINT "port_maps_port_positive" CHECK ("port" >= 1),
    CONSTRAINT "port_maps_port_at_most_65535" CHECK ("port" <= 65535)
);

CREATE UNIQUE INDEX {{bare:port_maps_slot}} ON {{port_maps}} ("node_id", "family", "protocol", "port");

CREATE INDEX {{bare:port_maps_instance}} ON {{port_maps}} ("instance_id" NULLS FIRST, "id");
