-- insert a parent
begin;
SELECT 0, t."open", t."number", t."revision", t."version", NULL, NULL, NULL, t."hall"
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_parents" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1
  UNION ALL SELECT 1, NULL, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 2, NULL, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion_parents" ("hall", "number", "open", "revision", "version") SELECT s.c0, s.c1, s.c2, s.c3, s.c4
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1, value ->> 2 AS c2, value ->> 3 AS c3, value ->> 4 AS c4
  FROM jsonb_each(?1)) AS s;
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
INSERT INTO "apportion_kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, ?1 + s.n, s.n, ?1 + s.n, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, unhex(value ->> 2) AS c2, value ->> 3 AS c3, unhex(value ->> 4) AS c4, unhex(value ->> 5) AS c5
  FROM jsonb_each(?2)) AS s;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- ensure a parent
begin;
SELECT 0, t."open", t."number", t."revision", t."version", NULL, NULL, NULL, t."hall"
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_parents" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1
  UNION ALL SELECT 1, NULL, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 2, NULL, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion_parents" ("hall", "number", "open", "revision", "version") SELECT s.c0, s.c1, s.c2, s.c3, s.c4
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1, value ->> 2 AS c2, value ->> 3 AS c3, value ->> 4 AS c4
  FROM jsonb_each(?1)) AS s;
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
INSERT INTO "apportion_kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, ?1 + s.n, s.n, ?1 + s.n, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, unhex(value ->> 2) AS c2, value ->> 3 AS c3, unhex(value ->> 4) AS c4, unhex(value ->> 5) AS c5
  FROM jsonb_each(?2)) AS s;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- insert a child
begin;
SELECT 0, t."flag", t."shut", t."count", t."count_limit", t."number", t."revision", t."version", t."id", t."above", t."starts", t."ends", t."realm", t."state", t."hint", t."document", t."hall", t."above_realm"
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_everything" t
  WHERE t."realm" = s.c0 AND t."id" = s.c1
  UNION ALL SELECT 1, NULL, NULL, t."number", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, t."hall", NULL, NULL, NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_parents" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1
  UNION ALL SELECT 2, NULL, NULL, s.n, NULL, NULL, NULL, NULL, t."id", NULL, NULL, NULL, t."realm", NULL, NULL, NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0
  FROM jsonb_each(?3)) AS s
  CROSS JOIN "apportion_everything" t
  WHERE t."state" = s.c0
  UNION ALL SELECT 3, NULL, NULL, s.n, NULL, NULL, NULL, NULL, t."id", NULL, NULL, NULL, t."realm", NULL, NULL, NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?4)) AS s
  CROSS JOIN "apportion_everything" t
  WHERE t."hall" = s.c0 AND t."count" = s.c1
  UNION ALL SELECT 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?5)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 5, NULL, NULL, h.position, NULL, NULL, NULL, NULL, h.batch, NULL, h.last_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
rollback;
-- update
begin;
SELECT 0, t."age", t."revision", t."version", t."id", NULL, NULL, t."name"
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."id" = s.c0
  UNION ALL SELECT 1, s.n, NULL, NULL, t."id", NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."name" = s.c0
  UNION ALL SELECT 2, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?3)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 3, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
UPDATE "apportion_plants" AS t SET "name" = s.c1, "revision" = s.c2, "version" = s.c3
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, value ->> 2 AS c2, value ->> 3 AS c3
  FROM jsonb_each(?1)) AS s
  WHERE t."id" = s.c0;
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
INSERT INTO "apportion_kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, ?1 + s.n, s.n, ?1 + s.n, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, unhex(value ->> 2) AS c2, value ->> 3 AS c3, unhex(value ->> 4) AS c4, unhex(value ->> 5) AS c5
  FROM jsonb_each(?2)) AS s;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- delete
begin;
SELECT 0, t."age", t."revision", t."version", t."id", NULL, NULL, t."name"
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."id" = s.c0
  UNION ALL SELECT 1, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 2, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
DELETE
  FROM "apportion_plants" AS t
  WHERE (t."id") IN (SELECT s.c0
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?1)) AS s);
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
INSERT INTO "apportion_kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, ?1 + s.n, s.n, ?1 + s.n, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, unhex(value ->> 2) AS c2, value ->> 3 AS c3, unhex(value ->> 4) AS c4, unhex(value ->> 5) AS c5
  FROM jsonb_each(?2)) AS s;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- delete a parent
begin;
SELECT 0, t."open", t."number", t."revision", t."version", NULL, NULL, NULL, t."hall"
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_parents" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1
  UNION ALL SELECT 1, NULL, s.n, NULL, NULL, c."id", NULL, NULL, c."realm"
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_everything" c
  WHERE (c."realm", c."id") IN (SELECT t."realm", t."id"
  FROM "apportion_everything" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1 LIMIT ?3)
  UNION ALL SELECT 2, NULL, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?4)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 3, NULL, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
rollback;
-- guard
begin;
SELECT 0, t."age", t."revision", t."version", t."id", NULL, NULL, t."name"
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."id" = s.c0
  UNION ALL SELECT 1, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 2, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- insert a parent, without giving positions
begin;
SELECT 0, t."open", t."number", t."revision", t."version", NULL, NULL, NULL, t."hall"
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_parents" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1
  UNION ALL SELECT 1, NULL, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 2, NULL, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion_parents" ("hall", "number", "open", "revision", "version") SELECT s.c0, s.c1, s.c2, s.c3, s.c4
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1, value ->> 2 AS c2, value ->> 3 AS c3, value ->> 4 AS c4
  FROM jsonb_each(?1)) AS s;
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
INSERT INTO "apportion_kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, ?1 + s.n, s.n, ?1 + s.n, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, unhex(value ->> 2) AS c2, value ->> 3 AS c3, unhex(value ->> 4) AS c4, unhex(value ->> 5) AS c5
  FROM jsonb_each(?2)) AS s;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- ensure a parent, without giving positions
begin;
SELECT 0, t."open", t."number", t."revision", t."version", NULL, NULL, NULL, t."hall"
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_parents" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1
  UNION ALL SELECT 1, NULL, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 2, NULL, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion_parents" ("hall", "number", "open", "revision", "version") SELECT s.c0, s.c1, s.c2, s.c3, s.c4
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1, value ->> 2 AS c2, value ->> 3 AS c3, value ->> 4 AS c4
  FROM jsonb_each(?1)) AS s;
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
INSERT INTO "apportion_kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, ?1 + s.n, s.n, ?1 + s.n, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, unhex(value ->> 2) AS c2, value ->> 3 AS c3, unhex(value ->> 4) AS c4, unhex(value ->> 5) AS c5
  FROM jsonb_each(?2)) AS s;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- insert a child, without giving positions
begin;
SELECT 0, t."flag", t."shut", t."count", t."count_limit", t."number", t."revision", t."version", t."id", t."above", t."starts", t."ends", t."realm", t."state", t."hint", t."document", t."hall", t."above_realm"
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_everything" t
  WHERE t."realm" = s.c0 AND t."id" = s.c1
  UNION ALL SELECT 1, NULL, NULL, t."number", NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, t."hall", NULL, NULL, NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_parents" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1
  UNION ALL SELECT 2, NULL, NULL, s.n, NULL, NULL, NULL, NULL, t."id", NULL, NULL, NULL, t."realm", NULL, NULL, NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0
  FROM jsonb_each(?3)) AS s
  CROSS JOIN "apportion_everything" t
  WHERE t."state" = s.c0
  UNION ALL SELECT 3, NULL, NULL, s.n, NULL, NULL, NULL, NULL, t."id", NULL, NULL, NULL, t."realm", NULL, NULL, NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?4)) AS s
  CROSS JOIN "apportion_everything" t
  WHERE t."hall" = s.c0 AND t."count" = s.c1
  UNION ALL SELECT 4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?5)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 5, NULL, NULL, h.position, NULL, NULL, NULL, NULL, h.batch, NULL, h.last_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
rollback;
-- update, without giving positions
begin;
SELECT 0, t."age", t."revision", t."version", t."id", NULL, NULL, t."name"
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."id" = s.c0
  UNION ALL SELECT 1, s.n, NULL, NULL, t."id", NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."name" = s.c0
  UNION ALL SELECT 2, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?3)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 3, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
UPDATE "apportion_plants" AS t SET "name" = s.c1, "revision" = s.c2, "version" = s.c3
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, value ->> 2 AS c2, value ->> 3 AS c3
  FROM jsonb_each(?1)) AS s
  WHERE t."id" = s.c0;
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
INSERT INTO "apportion_kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, ?1 + s.n, s.n, ?1 + s.n, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, unhex(value ->> 2) AS c2, value ->> 3 AS c3, unhex(value ->> 4) AS c4, unhex(value ->> 5) AS c5
  FROM jsonb_each(?2)) AS s;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- delete, without giving positions
begin;
SELECT 0, t."age", t."revision", t."version", t."id", NULL, NULL, t."name"
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."id" = s.c0
  UNION ALL SELECT 1, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 2, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
DELETE
  FROM "apportion_plants" AS t
  WHERE (t."id") IN (SELECT s.c0
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?1)) AS s);
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
INSERT INTO "apportion_kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, ?1 + s.n, s.n, ?1 + s.n, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, unhex(value ->> 2) AS c2, value ->> 3 AS c3, unhex(value ->> 4) AS c4, unhex(value ->> 5) AS c5
  FROM jsonb_each(?2)) AS s;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- delete a parent, without giving positions
begin;
SELECT 0, t."open", t."number", t."revision", t."version", NULL, NULL, NULL, t."hall"
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_parents" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1
  UNION ALL SELECT 1, NULL, s.n, NULL, NULL, c."id", NULL, NULL, c."realm"
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0, value ->> 1 AS c1
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_everything" c
  WHERE (c."realm", c."id") IN (SELECT t."realm", t."id"
  FROM "apportion_everything" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1 LIMIT ?3)
  UNION ALL SELECT 2, NULL, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?4)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 3, NULL, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
rollback;
-- guard, without giving positions
begin;
SELECT 0, t."age", t."revision", t."version", t."id", NULL, NULL, t."name"
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."id" = s.c0
  UNION ALL SELECT 1, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 2, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- while records wait for positions
begin;
SELECT 0, t."age", t."revision", t."version", t."id", NULL, NULL, t."name"
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."id" = s.c0
  UNION ALL SELECT 1, s.n, NULL, NULL, t."id", NULL, NULL, NULL
  FROM (SELECT key + 1 AS n, value ->> 0 AS c0
  FROM jsonb_each(?2)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."name" = s.c0
  UNION ALL SELECT 2, NULL, NULL, NULL, r.batch, r.fingerprint, r.at, NULL
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?3)) AS s
  CROSS JOIN "apportion_kernel_receipts" r
  WHERE r.batch = s.c0
  UNION ALL SELECT 3, h.position, NULL, NULL, h.batch, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
UPDATE "apportion_plants" AS t SET "name" = s.c1, "revision" = s.c2, "version" = s.c3
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, value ->> 2 AS c2, value ->> 3 AS c3
  FROM jsonb_each(?1)) AS s
  WHERE t."id" = s.c0;
INSERT INTO "apportion_kernel_receipts" (batch, at, fingerprint) SELECT s.c0, ?1, s.c1
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, unhex(value ->> 1) AS c1
  FROM jsonb_each(?2)) AS s
  ORDER BY s.c0;
INSERT INTO "apportion_kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, ?1 + s.n, s.n, ?1 + s.n, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0, value ->> 1 AS c1, unhex(value ->> 2) AS c2, value ->> 3 AS c3, unhex(value ->> 4) AS c4, unhex(value ->> 5) AS c5
  FROM jsonb_each(?2)) AS s;
UPDATE "apportion_kernel_head" SET position = ?1, batch = ?2, last_at = ?3
  WHERE id = 1;
commit;
-- get
SELECT 0, NULL, NULL, NULL, NULL, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, t."age", t."revision", t."version", s.n, t."id", NULL, t."name"
  FROM (SELECT key + 1 AS n, unhex(value ->> 0) AS c0
  FROM jsonb_each(?1)) AS s
  CROSS JOIN "apportion_plants" t
  WHERE t."id" = s.c0;
-- a page
SELECT 0, NULL, NULL, NULL, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, t."age", t."revision", t."version", t."id", NULL, t."name"
  FROM (SELECT *
  FROM "apportion_plants" t
  WHERE TRUE
  ORDER BY t."id" LIMIT 11) t;
-- a page of an order, backwards
SELECT 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, h.last_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, t."flag", t."shut", t."count", t."count_limit", t."number", t."revision", t."version", t."id", t."above", t."starts", t."ends", t."realm", t."state", t."hint", t."document", t."hall", t."above_realm"
  FROM (SELECT *
  FROM "apportion_everything" t
  WHERE TRUE
  ORDER BY t."hall" DESC, t."count" DESC, t."realm" DESC, t."id" DESC LIMIT 101) t;
-- a range behind a prefix
SELECT 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, h.last_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, t."flag", t."shut", t."count", t."count_limit", t."number", t."revision", t."version", t."id", t."above", t."starts", t."ends", t."realm", t."state", t."hint", t."document", t."hall", t."above_realm"
  FROM (SELECT *
  FROM "apportion_everything" t
  WHERE t."hall" = ?1 AND t."count" >= ?2 AND t."count" < ?3
  ORDER BY t."count", t."realm", t."id" LIMIT 101) t;
-- tests
SELECT 0, NULL, NULL, NULL, NULL, NULL, NULL, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, t."age", t."revision", t."version", t.apportion_n, t.apportion_all, t."id", NULL, t."name"
  FROM (SELECT *
  FROM (SELECT e.*, count(*) OVER () AS apportion_all
  FROM (SELECT t.*, row_number() OVER (ORDER BY t."id") AS apportion_n
  FROM "apportion_plants" t
  WHERE TRUE
  ORDER BY t."id" LIMIT 10001) e) t
  WHERE (t."name" = ?1 AND (t."age" = ?2 OR t."age" = ?3)) OR t.apportion_n = 10000
  ORDER BY t.apportion_n LIMIT 11) t;
-- a test on a document
SELECT 0, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, h.last_at, NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, t."flag", t."shut", t."count", t."count_limit", t."number", t."revision", t."version", t."id", t."above", t."starts", t."ends", t."realm", t."state", t."hint", t."document", t."hall", t."above_realm"
  FROM (SELECT *
  FROM "apportion_everything" t
  WHERE TRUE
  ORDER BY t."realm", t."id" LIMIT 10001) t;
-- a count
SELECT 0, NULL, NULL, h.last_at
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, count(*), count(CASE WHEN (t."age" > ?1) AND t.apportion_n <= 10000 THEN 1 END), NULL
  FROM (SELECT t.*, row_number() OVER (ORDER BY t."id") AS apportion_n
  FROM "apportion_plants" t
  WHERE TRUE
  ORDER BY t."id" LIMIT 10001) t;
-- the feed
SELECT 0, NULL, h.position, h.batch, NULL, NULL, h.last_at, NULL, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, NULL, h.low_position, h.low_batch, NULL, NULL, NULL, NULL, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 2, NULL, NULL, f.batch, NULL, NULL, NULL, NULL, NULL
  FROM "apportion_kernel_feed" f
  WHERE f.position = ?1
  UNION ALL SELECT 3, NULL, f.position, f.batch, f.actor, f.fingerprint, f.at, f.operation, f.changes
  FROM (SELECT *
  FROM "apportion_kernel_feed" f
  WHERE f.position > ?1
  ORDER BY f.position LIMIT 10) f
  UNION ALL SELECT 4, EXISTS (SELECT 1
  FROM "apportion_kernel_feed" f
  WHERE f.position IS NULL), NULL, NULL, NULL, NULL, NULL, NULL, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
-- a snapshot begins
SELECT 0, h.position, h.batch, h.last_at
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, NULL, f.batch, NULL
  FROM "apportion_kernel_feed" f
  WHERE f.position IS NULL;
-- positions are given
-- resolve
begin;
SELECT 0, h.position, h.batch, NULL, h.last_at
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, NULL, r.batch, r.fingerprint, r.at
  FROM "apportion_kernel_receipts" r
  WHERE r.batch = ?1;
INSERT INTO "apportion_kernel_receipts" (batch, at) VALUES (?1, ?2) ON CONFLICT DO NOTHING;
UPDATE "apportion_kernel_head" SET last_at = CASE WHEN last_at < ?1 THEN ?1 ELSE last_at END
  WHERE id = 1;
commit;
-- prune
begin;
SELECT 0, h.id
  FROM "apportion_kernel_head" h
  WHERE h.id = 1;
SELECT 0, h.position, NULL, NULL, h.batch, h.last_at, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1, h.low_position, NULL, NULL, NULL, NULL, NULL
  FROM "apportion_kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 2, t."position", t."revision", t."version", t."batch", NULL, t."name"
  FROM "apportion_feed_consumers" t;
UPDATE "apportion_kernel_head" SET low_position = ?1, last_at = ?2, low_batch = (SELECT f.batch
  FROM "apportion_kernel_feed" f
  WHERE f.position = ?1)
  WHERE id = 1;
DELETE
  FROM "apportion_kernel_feed"
  WHERE position <= ?1;
DELETE
  FROM "apportion_kernel_receipts"
  WHERE batch IN (SELECT batch
  FROM "apportion_kernel_receipts"
  WHERE batch <= ?1
  ORDER BY batch LIMIT 5000);
commit;
