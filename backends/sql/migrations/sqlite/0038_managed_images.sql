CREATE TABLE {{managed_images}} (
    "id" BLOB NOT NULL CHECK (length("id") = 16),
    "user_id" BLOB NOT NULL CHECK (length("user_id") = 16),
    "node_id" BLOB NOT NULL CHECK (length("node_id") = 16),
    "image_id" BLOB NOT NULL CHECK (length("image_id") = 16),
    "granted_by" BLOB CHECK (length("granted_by") = 16),
    "expires_at" INTEGER,
    "created_at" INTEGER NOT NULL,
    "revision" INTEGER NOT NULL,
    "version" INTEGER NOT NULL,
    PRIMARY KEY ("id"),
    CONSTRAINT "managed_images_user" FOREIGN KEY ("user_id") REFERENCES {{users}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "managed_images_node" FOREIGN KEY ("node_id") REFERENCES {{compute_nodes}} ("id") ON DELETE RESTRICT,
    CONSTRAINT "managed_images_image" FOREIGN KEY ("image_id") REFERENCES {{images}} ("id") ON DELETE RESTRICT
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX {{bare:managed_images_user_image}} ON {{managed_images}} ("user_id", "image_id");

CREATE INDEX {{bare:managed_images_node}} ON {{managed_images}} ("node_id", "id");

CREATE INDEX {{bare:managed_images_image}} ON {{managed_images}} ("image_id", "id");
