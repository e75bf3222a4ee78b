CREATE TABLE {{managed_images}} (
    "id" uuid NOT NULL,
    "user_id" uuid NOT NULL,
    "node_id" uuid NOT NULL,
    "image_id" uuid NOT NULL,
    "granted_by" uuid,
    "expires_at" timestamptz,
    "created_at" timestamptz NOT NULL,
    "revision" bigint NOT NULL,
    "version" bigint NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "managed_images_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "managed_images_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "managed_images_image" FOREIGN KEY ("image_id") REFERENCES {{images}} ("id") ON DELETE RESTRICT
);

CREATE UNIQUE INDEX {{bare:managed_images_user_image}} ON {{managed_images}} ("user_id", "image_id");

CREATE INDEX {{bare:managed_images_node}} ON {{managed_images}} ("node_id", "id");

CREATE INDEX {{bare:managed_images_image}} ON {{managed_images}} ("image_id", "id");
