-- insert a parent
begin;
SELECT 0::bigint, t."open", t."number", t."revision", t."version", NULL::uuid, NULL::uuid, NULL::timestamptz, t."hall"
  FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."parents" t
  WHERE t."hall" = s.c0 AND t."number" >= s.c1 AND t."number" <= s.c1
  ORDER BY t."number" LIMIT 1) t
  UNION ALL SELECT 1::bigint, NULL::boolean, NULL::bigint, NULL::bigint, NULL::bigint, r.batch, r.fingerprint, r.at, NULL::text
  FROM unnest($3::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 2::bigint, NULL::boolean, h.position, NULL::bigint, NULL::bigint, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion"."parents" ("hall", "number", "open", "revision", "version") SELECT s.c0, s.c1, s.c2, s.c3, s.c4
  FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::bigint[], $5::bigint[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, n);
WITH w0 AS (INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0 RETURNING batch), w1 AS (SELECT h.position, NOT EXISTS (SELECT 1
  FROM "apportion"."kernel_feed" f
  WHERE f.position IS NULL) AS free
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1 AND (SELECT count(*)
  FROM w0) > 0 FOR UPDATE OF h SKIP LOCKED), w2 AS (SELECT nextval('"apportion"."kernel_arrivals"') AS arrival
  WHERE (SELECT count(*)
  FROM w0) > 0), w3 AS (INSERT INTO "apportion"."kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, a.arrival, s.n, CASE WHEN d.free THEN d.position + s.n END, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM unnest($4::uuid[], $5::timestamptz[], $6::uuid[], $7::text[], $8::uuid[], $9::bytea[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, c5, n)
  CROSS JOIN w2 a LEFT JOIN w1 d ON true), w4 AS (UPDATE "apportion"."kernel_head" AS h SET position = d.position + $10, batch = $11, last_at = greatest(h.last_at, $12)
  FROM w1 d
  WHERE h.id = 1 AND d.free) SELECT 0::bigint, d.free
  FROM w1 d;
commit;
-- ensure a parent
begin;
SELECT 0::bigint, t."open", t."number", t."revision", t."version", NULL::uuid, NULL::uuid, NULL::timestamptz, t."hall"
  FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."parents" t
  WHERE t."hall" = s.c0 AND t."number" >= s.c1 AND t."number" <= s.c1
  ORDER BY t."number" LIMIT 1) t
  UNION ALL SELECT 1::bigint, NULL::boolean, NULL::bigint, NULL::bigint, NULL::bigint, r.batch, r.fingerprint, r.at, NULL::text
  FROM unnest($3::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 2::bigint, NULL::boolean, h.position, NULL::bigint, NULL::bigint, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion"."parents" ("hall", "number", "open", "revision", "version") SELECT s.c0, s.c1, s.c2, s.c3, s.c4
  FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::bigint[], $5::bigint[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, n);
WITH w0 AS (INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0 RETURNING batch), w1 AS (SELECT h.position, NOT EXISTS (SELECT 1
  FROM "apportion"."kernel_feed" f
  WHERE f.position IS NULL) AS free
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1 AND (SELECT count(*)
  FROM w0) > 0 FOR UPDATE OF h SKIP LOCKED), w2 AS (SELECT nextval('"apportion"."kernel_arrivals"') AS arrival
  WHERE (SELECT count(*)
  FROM w0) > 0), w3 AS (INSERT INTO "apportion"."kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, a.arrival, s.n, CASE WHEN d.free THEN d.position + s.n END, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM unnest($4::uuid[], $5::timestamptz[], $6::uuid[], $7::text[], $8::uuid[], $9::bytea[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, c5, n)
  CROSS JOIN w2 a LEFT JOIN w1 d ON true), w4 AS (UPDATE "apportion"."kernel_head" AS h SET position = d.position + $10, batch = $11, last_at = greatest(h.last_at, $12)
  FROM w1 d
  WHERE h.id = 1 AND d.free) SELECT 0::bigint, d.free
  FROM w1 d;
commit;
-- insert a child
begin;
SELECT 0::bigint, t."flag", t."shut", t."count", t."count_limit", t."number", t."revision", t."version", t."id", t."above", t."starts", t."ends", t."realm", t."state", t."hint", t."document"::text, t."hall", t."above_realm"
  FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."everything" t
  WHERE t."realm" = s.c0 AND t."id" >= s.c1 AND t."id" <= s.c1
  ORDER BY t."id" LIMIT 1) t
  UNION ALL SELECT 1::bigint, NULL::boolean, NULL::boolean, t."number", NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::uuid, NULL::uuid, NULL::timestamptz, NULL::timestamptz, t."hall", NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest($3::text[], $4::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."parents" t
  WHERE t."hall" = s.c0 AND t."number" >= s.c1 AND t."number" <= s.c1
  ORDER BY t."number" LIMIT 1) t
  UNION ALL SELECT 2::bigint, NULL::boolean, NULL::boolean, s.n, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, t."id", NULL::uuid, NULL::timestamptz, NULL::timestamptz, t."realm", NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest($5::text[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."everything" t
  WHERE t."state" = s.c0 LIMIT 1) t
  UNION ALL SELECT 3::bigint, NULL::boolean, NULL::boolean, s.n, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, t."id", NULL::uuid, NULL::timestamptz, NULL::timestamptz, t."realm", NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest($6::text[], $7::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."everything" t
  WHERE t."hall" = s.c0 AND t."count" >= s.c1 AND t."count" <= s.c1
  ORDER BY t."count" LIMIT 1) t
  UNION ALL SELECT 4::bigint, NULL::boolean, NULL::boolean, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, r.batch, r.fingerprint, r.at, NULL::timestamptz, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest($8::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 5::bigint, NULL::boolean, NULL::boolean, h.position, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::timestamptz, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
rollback;
-- update
begin;
WITH w0 AS (SELECT t.*
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."id" = s.c0 FOR NO KEY UPDATE) t) SELECT 0::bigint, t."age", t."revision", t."version", t."id", t."name"
  FROM w0 t;
SELECT 0::bigint, s.n, t."id", NULL::uuid, NULL::timestamptz
  FROM unnest($1::text[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."name" = s.c0 LIMIT 1) t
  UNION ALL SELECT 1::bigint, NULL::bigint, r.batch, r.fingerprint, r.at
  FROM unnest($2::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 2::bigint, h.position, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
UPDATE "apportion"."plants" AS t SET "name" = s.c1, "revision" = s.c2, "version" = s.c3
  FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS s(c0, c1, c2, c3, n)
  WHERE t."id" = s.c0;
WITH w0 AS (INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0 RETURNING batch), w1 AS (SELECT h.position, NOT EXISTS (SELECT 1
  FROM "apportion"."kernel_feed" f
  WHERE f.position IS NULL) AS free
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1 AND (SELECT count(*)
  FROM w0) > 0 FOR UPDATE OF h SKIP LOCKED), w2 AS (SELECT nextval('"apportion"."kernel_arrivals"') AS arrival
  WHERE (SELECT count(*)
  FROM w0) > 0), w3 AS (INSERT INTO "apportion"."kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, a.arrival, s.n, CASE WHEN d.free THEN d.position + s.n END, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM unnest($4::uuid[], $5::timestamptz[], $6::uuid[], $7::text[], $8::uuid[], $9::bytea[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, c5, n)
  CROSS JOIN w2 a LEFT JOIN w1 d ON true), w4 AS (UPDATE "apportion"."kernel_head" AS h SET position = d.position + $10, batch = $11, last_at = greatest(h.last_at, $12)
  FROM w1 d
  WHERE h.id = 1 AND d.free) SELECT 0::bigint, d.free
  FROM w1 d;
commit;
-- delete
begin;
WITH w0 AS (SELECT t.*
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."id" = s.c0 FOR UPDATE) t) SELECT 0::bigint, t."age", t."revision", t."version", t."id", t."name"
  FROM w0 t;
SELECT 0::bigint, NULL::bigint, r.batch, r.fingerprint, r.at
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 1::bigint, h.position, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
DELETE
  FROM "apportion"."plants" AS t
  WHERE (t."id") IN (SELECT s.c0
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n));
WITH w0 AS (INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0 RETURNING batch), w1 AS (SELECT h.position, NOT EXISTS (SELECT 1
  FROM "apportion"."kernel_feed" f
  WHERE f.position IS NULL) AS free
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1 AND (SELECT count(*)
  FROM w0) > 0 FOR UPDATE OF h SKIP LOCKED), w2 AS (SELECT nextval('"apportion"."kernel_arrivals"') AS arrival
  WHERE (SELECT count(*)
  FROM w0) > 0), w3 AS (INSERT INTO "apportion"."kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, a.arrival, s.n, CASE WHEN d.free THEN d.position + s.n END, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM unnest($4::uuid[], $5::timestamptz[], $6::uuid[], $7::text[], $8::uuid[], $9::bytea[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, c5, n)
  CROSS JOIN w2 a LEFT JOIN w1 d ON true), w4 AS (UPDATE "apportion"."kernel_head" AS h SET position = d.position + $10, batch = $11, last_at = greatest(h.last_at, $12)
  FROM w1 d
  WHERE h.id = 1 AND d.free) SELECT 0::bigint, d.free
  FROM w1 d;
commit;
-- delete a parent
begin;
WITH w0 AS (SELECT t.*
  FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."parents" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1 FOR UPDATE) t) SELECT 0::bigint, t."open", t."number", t."revision", t."version", t."hall"
  FROM w0 t;
SELECT 0::bigint, s.n, t."id", NULL::uuid, NULL::timestamptz, t."realm"
  FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."everything" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1 LIMIT $3) t
  UNION ALL SELECT 1::bigint, NULL::bigint, r.batch, r.fingerprint, r.at, NULL::text
  FROM unnest($4::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 2::bigint, h.position, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
rollback;
-- guard
begin;
WITH w0 AS (SELECT t.*
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."id" = s.c0 FOR SHARE) t) SELECT 0::bigint, t."age", t."revision", t."version", t."id", t."name"
  FROM w0 t;
SELECT 0::bigint, NULL::bigint, r.batch, r.fingerprint, r.at
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 1::bigint, h.position, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0;
commit;
-- insert a parent, without giving positions
begin;
SELECT 0::bigint, t."open", t."number", t."revision", t."version", NULL::uuid, NULL::uuid, NULL::timestamptz, t."hall"
  FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."parents" t
  WHERE t."hall" = s.c0 AND t."number" >= s.c1 AND t."number" <= s.c1
  ORDER BY t."number" LIMIT 1) t
  UNION ALL SELECT 1::bigint, NULL::boolean, NULL::bigint, NULL::bigint, NULL::bigint, r.batch, r.fingerprint, r.at, NULL::text
  FROM unnest($3::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 2::bigint, NULL::boolean, h.position, NULL::bigint, NULL::bigint, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion"."parents" ("hall", "number", "open", "revision", "version") SELECT s.c0, s.c1, s.c2, s.c3, s.c4
  FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::bigint[], $5::bigint[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, n);
WITH r AS (INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0), a AS (SELECT nextval('"apportion"."kernel_arrivals"') AS arrival) INSERT INTO "apportion"."kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, a.arrival, s.n, NULL, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM unnest($4::uuid[], $5::timestamptz[], $6::uuid[], $7::text[], $8::uuid[], $9::bytea[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, c5, n)
  CROSS JOIN a;
commit;
-- ensure a parent, without giving positions
begin;
SELECT 0::bigint, t."open", t."number", t."revision", t."version", NULL::uuid, NULL::uuid, NULL::timestamptz, t."hall"
  FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."parents" t
  WHERE t."hall" = s.c0 AND t."number" >= s.c1 AND t."number" <= s.c1
  ORDER BY t."number" LIMIT 1) t
  UNION ALL SELECT 1::bigint, NULL::boolean, NULL::bigint, NULL::bigint, NULL::bigint, r.batch, r.fingerprint, r.at, NULL::text
  FROM unnest($3::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 2::bigint, NULL::boolean, h.position, NULL::bigint, NULL::bigint, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion"."parents" ("hall", "number", "open", "revision", "version") SELECT s.c0, s.c1, s.c2, s.c3, s.c4
  FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::bigint[], $5::bigint[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, n);
WITH r AS (INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0), a AS (SELECT nextval('"apportion"."kernel_arrivals"') AS arrival) INSERT INTO "apportion"."kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, a.arrival, s.n, NULL, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM unnest($4::uuid[], $5::timestamptz[], $6::uuid[], $7::text[], $8::uuid[], $9::bytea[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, c5, n)
  CROSS JOIN a;
commit;
-- insert a child, without giving positions
begin;
SELECT 0::bigint, t."flag", t."shut", t."count", t."count_limit", t."number", t."revision", t."version", t."id", t."above", t."starts", t."ends", t."realm", t."state", t."hint", t."document"::text, t."hall", t."above_realm"
  FROM unnest($1::text[], $2::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."everything" t
  WHERE t."realm" = s.c0 AND t."id" >= s.c1 AND t."id" <= s.c1
  ORDER BY t."id" LIMIT 1) t
  UNION ALL SELECT 1::bigint, NULL::boolean, NULL::boolean, t."number", NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::uuid, NULL::uuid, NULL::timestamptz, NULL::timestamptz, t."hall", NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest($3::text[], $4::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."parents" t
  WHERE t."hall" = s.c0 AND t."number" >= s.c1 AND t."number" <= s.c1
  ORDER BY t."number" LIMIT 1) t
  UNION ALL SELECT 2::bigint, NULL::boolean, NULL::boolean, s.n, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, t."id", NULL::uuid, NULL::timestamptz, NULL::timestamptz, t."realm", NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest($5::text[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."everything" t
  WHERE t."state" = s.c0 LIMIT 1) t
  UNION ALL SELECT 3::bigint, NULL::boolean, NULL::boolean, s.n, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, t."id", NULL::uuid, NULL::timestamptz, NULL::timestamptz, t."realm", NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest($6::text[], $7::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."everything" t
  WHERE t."hall" = s.c0 AND t."count" >= s.c1 AND t."count" <= s.c1
  ORDER BY t."count" LIMIT 1) t
  UNION ALL SELECT 4::bigint, NULL::boolean, NULL::boolean, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, r.batch, r.fingerprint, r.at, NULL::timestamptz, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM unnest($8::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 5::bigint, NULL::boolean, NULL::boolean, h.position, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::timestamptz, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
rollback;
-- update, without giving positions
begin;
WITH w0 AS (SELECT t.*
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."id" = s.c0 FOR NO KEY UPDATE) t) SELECT 0::bigint, t."age", t."revision", t."version", t."id", t."name"
  FROM w0 t;
SELECT 0::bigint, s.n, t."id", NULL::uuid, NULL::timestamptz
  FROM unnest($1::text[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."name" = s.c0 LIMIT 1) t
  UNION ALL SELECT 1::bigint, NULL::bigint, r.batch, r.fingerprint, r.at
  FROM unnest($2::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 2::bigint, h.position, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
UPDATE "apportion"."plants" AS t SET "name" = s.c1, "revision" = s.c2, "version" = s.c3
  FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS s(c0, c1, c2, c3, n)
  WHERE t."id" = s.c0;
WITH r AS (INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0), a AS (SELECT nextval('"apportion"."kernel_arrivals"') AS arrival) INSERT INTO "apportion"."kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, a.arrival, s.n, NULL, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM unnest($4::uuid[], $5::timestamptz[], $6::uuid[], $7::text[], $8::uuid[], $9::bytea[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, c5, n)
  CROSS JOIN a;
commit;
-- delete, without giving positions
begin;
WITH w0 AS (SELECT t.*
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."id" = s.c0 FOR UPDATE) t) SELECT 0::bigint, t."age", t."revision", t."version", t."id", t."name"
  FROM w0 t;
SELECT 0::bigint, NULL::bigint, r.batch, r.fingerprint, r.at
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 1::bigint, h.position, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
DELETE
  FROM "apportion"."plants" AS t
  WHERE (t."id") IN (SELECT s.c0
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n));
WITH r AS (INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0), a AS (SELECT nextval('"apportion"."kernel_arrivals"') AS arrival) INSERT INTO "apportion"."kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, a.arrival, s.n, NULL, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM unnest($4::uuid[], $5::timestamptz[], $6::uuid[], $7::text[], $8::uuid[], $9::bytea[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, c5, n)
  CROSS JOIN a;
commit;
-- delete a parent, without giving positions
begin;
WITH w0 AS (SELECT t.*
  FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."parents" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1 FOR UPDATE) t) SELECT 0::bigint, t."open", t."number", t."revision", t."version", t."hall"
  FROM w0 t;
SELECT 0::bigint, s.n, t."id", NULL::uuid, NULL::timestamptz, t."realm"
  FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS s(c0, c1, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."everything" t
  WHERE t."hall" = s.c0 AND t."number" = s.c1 LIMIT $3) t
  UNION ALL SELECT 1::bigint, NULL::bigint, r.batch, r.fingerprint, r.at, NULL::text
  FROM unnest($4::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 2::bigint, h.position, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
rollback;
-- guard, without giving positions
begin;
WITH w0 AS (SELECT t.*
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."id" = s.c0 FOR SHARE) t) SELECT 0::bigint, t."age", t."revision", t."version", t."id", t."name"
  FROM w0 t;
SELECT 0::bigint, NULL::bigint, r.batch, r.fingerprint, r.at
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 1::bigint, h.position, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0;
commit;
-- working ahead: guard and insert
begin;
SELECT 0::bigint, t."age", t."revision", t."version", t."id", NULL::uuid, NULL::timestamptz, t."name"
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."id" = s.c0 LIMIT 1) t
  UNION ALL SELECT 1::bigint, NULL::bigint, NULL::bigint, NULL::bigint, r.batch, r.fingerprint, r.at, NULL::text
  FROM unnest($2::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 2::bigint, h.position, NULL::bigint, NULL::bigint, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
INSERT INTO "apportion"."parents" ("hall", "number", "open", "revision", "version") SELECT s.c0, s.c1, s.c2, s.c3, s.c4
  FROM unnest($1::text[], $2::bigint[], $3::boolean[], $4::bigint[], $5::bigint[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, n);
WITH w0 AS (SELECT t.*
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."id" = s.c0 FOR SHARE) t), w1 AS (SELECT count(*) AS n
  FROM (SELECT 1
  FROM w0) x), w2 AS (INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $2, s.c1
  FROM unnest($3::uuid[], $4::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  WHERE (SELECT n
  FROM w1) >= 0
  ORDER BY s.c0 RETURNING batch), w3 AS (SELECT h.position, NOT EXISTS (SELECT 1
  FROM "apportion"."kernel_feed" f
  WHERE f.position IS NULL) AS free
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1 AND (SELECT count(*)
  FROM w2) > 0 FOR UPDATE OF h SKIP LOCKED), w4 AS (SELECT nextval('"apportion"."kernel_arrivals"') AS arrival
  WHERE (SELECT count(*)
  FROM w2) > 0), w5 AS (INSERT INTO "apportion"."kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, a.arrival, s.n, CASE WHEN d.free THEN d.position + s.n END, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM unnest($5::uuid[], $6::timestamptz[], $7::uuid[], $8::text[], $9::uuid[], $10::bytea[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, c5, n)
  CROSS JOIN w4 a LEFT JOIN w3 d ON true), w6 AS (UPDATE "apportion"."kernel_head" AS h SET position = d.position + $11, batch = $12, last_at = greatest(h.last_at, $13)
  FROM w3 d
  WHERE h.id = 1 AND d.free) SELECT 0::bigint, NULL::boolean, t."age", t."revision", t."version", t."id", NULL::timestamptz, t."name"
  FROM w0 t
  UNION ALL SELECT 1::bigint, d.free, NULL::bigint, NULL::bigint, NULL::bigint, NULL::uuid, (SELECT greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1), NULL::text
  FROM (VALUES (1)) x LEFT JOIN w3 d ON true;
commit;
-- while records wait for positions
begin;
WITH w0 AS (SELECT t.*
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."id" = s.c0 FOR NO KEY UPDATE) t) SELECT 0::bigint, t."age", t."revision", t."version", t."id", t."name"
  FROM w0 t;
SELECT 0::bigint, s.n, t."id", NULL::uuid, NULL::timestamptz
  FROM unnest($1::text[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."name" = s.c0 LIMIT 1) t
  UNION ALL SELECT 1::bigint, NULL::bigint, r.batch, r.fingerprint, r.at
  FROM unnest($2::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = s.c0 LIMIT 1) r
  UNION ALL SELECT 2::bigint, h.position, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
UPDATE "apportion"."plants" AS t SET "name" = s.c1, "revision" = s.c2, "version" = s.c3
  FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS s(c0, c1, c2, c3, n)
  WHERE t."id" = s.c0;
WITH w0 AS (INSERT INTO "apportion"."kernel_receipts" (batch, at, fingerprint) SELECT s.c0, $1, s.c1
  FROM unnest($2::uuid[], $3::uuid[]) WITH ORDINALITY AS s(c0, c1, n)
  ORDER BY s.c0 RETURNING batch), w1 AS (SELECT h.position, NOT EXISTS (SELECT 1
  FROM "apportion"."kernel_feed" f
  WHERE f.position IS NULL) AS free
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1 AND (SELECT count(*)
  FROM w0) > 0 FOR UPDATE OF h SKIP LOCKED), w2 AS (SELECT nextval('"apportion"."kernel_arrivals"') AS arrival
  WHERE (SELECT count(*)
  FROM w0) > 0), w3 AS (INSERT INTO "apportion"."kernel_feed" (batch, arrival, place, position, at, actor, operation, fingerprint, changes) SELECT s.c0, a.arrival, s.n, CASE WHEN d.free THEN d.position + s.n END, s.c1, s.c2, s.c3, s.c4, s.c5
  FROM unnest($4::uuid[], $5::timestamptz[], $6::uuid[], $7::text[], $8::uuid[], $9::bytea[]) WITH ORDINALITY AS s(c0, c1, c2, c3, c4, c5, n)
  CROSS JOIN w2 a LEFT JOIN w1 d ON true), w4 AS (UPDATE "apportion"."kernel_head" AS h SET position = d.position + $10, batch = $11, last_at = greatest(h.last_at, $12)
  FROM w1 d
  WHERE h.id = 1 AND d.free) SELECT 0::bigint, d.free
  FROM w1 d;
WITH n AS (SELECT batch, row_number() OVER (ORDER BY arrival, place) AS k
  FROM "apportion"."kernel_feed"
  WHERE position IS NULL
  ORDER BY arrival, place LIMIT 10000), l AS (SELECT batch, k
  FROM n
  ORDER BY k DESC LIMIT 1), u AS (UPDATE "apportion"."kernel_head" AS h SET position = h.position + l.k, batch = l.batch
  FROM l
  WHERE h.id = 1) UPDATE "apportion"."kernel_feed" AS f SET position = h.position + n.k
  FROM n, "apportion"."kernel_head" AS h
  WHERE f.batch = n.batch AND h.id = 1;
commit;
-- get
SELECT 0::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, t."age", t."revision", t."version", s.n, t."id", NULL::timestamptz, t."name"
  FROM unnest($1::uuid[]) WITH ORDINALITY AS s(c0, n)
  CROSS JOIN LATERAL (SELECT *
  FROM "apportion"."plants" t
  WHERE t."id" = s.c0 LIMIT 1) t;
-- a page
SELECT 0::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, t."age", t."revision", t."version", t."id", NULL::timestamptz, t."name"
  FROM (SELECT *
  FROM "apportion"."plants" t
  WHERE TRUE
  ORDER BY t."id" LIMIT 11) t;
-- a page of an order, backwards
SELECT 0::bigint, NULL::boolean, NULL::boolean, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::uuid, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::timestamptz, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, t."flag", t."shut", t."count", t."count_limit", t."number", t."revision", t."version", t."id", t."above", t."starts", t."ends", t."realm", t."state", t."hint", t."document"::text, t."hall", t."above_realm"
  FROM (SELECT *
  FROM "apportion"."everything" t
  WHERE TRUE
  ORDER BY t."hall" DESC NULLS LAST, t."count" DESC, t."realm" DESC, t."id" DESC LIMIT 101) t;
-- a range behind a prefix
SELECT 0::bigint, NULL::boolean, NULL::boolean, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::uuid, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::timestamptz, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, t."flag", t."shut", t."count", t."count_limit", t."number", t."revision", t."version", t."id", t."above", t."starts", t."ends", t."realm", t."state", t."hint", t."document"::text, t."hall", t."above_realm"
  FROM (SELECT *
  FROM "apportion"."everything" t
  WHERE t."hall" = $1 AND t."count" >= $2 AND t."count" < $3
  ORDER BY t."count", t."realm", t."id" LIMIT 101) t;
-- tests
SELECT 0::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, t."age", t."revision", t."version", t.apportion_n, t.apportion_all, t."id", NULL::timestamptz, t."name"
  FROM (SELECT *
  FROM (SELECT e.*, count(*) OVER () AS apportion_all
  FROM (SELECT t.*, row_number() OVER (ORDER BY t."id") AS apportion_n
  FROM "apportion"."plants" t
  WHERE TRUE
  ORDER BY t."id" LIMIT 10001) e) t
  WHERE (t."name" = $1 AND (t."age" = $2 OR t."age" = $3)) OR t.apportion_n = 10000
  ORDER BY t.apportion_n LIMIT 11) t;
-- a test on a document
SELECT 0::bigint, NULL::boolean, NULL::boolean, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::bigint, NULL::uuid, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::timestamptz, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text, NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, t."flag", t."shut", t."count", t."count_limit", t."number", t."revision", t."version", t."id", t."above", t."starts", t."ends", t."realm", t."state", t."hint", t."document"::text, t."hall", t."above_realm"
  FROM (SELECT *
  FROM "apportion"."everything" t
  WHERE TRUE
  ORDER BY t."realm", t."id" LIMIT 10001) t;
-- a count
SELECT 0::bigint, NULL::bigint, NULL::bigint, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, count(*), count(CASE WHEN (t."age" > $1) AND t.apportion_n <= 10000 THEN 1 END), NULL::timestamptz
  FROM (SELECT t.*, row_number() OVER (ORDER BY t."id") AS apportion_n
  FROM "apportion"."plants" t
  WHERE TRUE
  ORDER BY t."id" LIMIT 10001) t;
-- the feed
SELECT 0::bigint, NULL::boolean, h.position, h.batch, NULL::uuid, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text, NULL::bytea
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, NULL::boolean, h.low_position, h.low_batch, NULL::uuid, NULL::uuid, NULL::timestamptz, NULL::text, NULL::bytea
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 2::bigint, NULL::boolean, NULL::bigint, f.batch, NULL::uuid, NULL::uuid, NULL::timestamptz, NULL::text, NULL::bytea
  FROM "apportion"."kernel_feed" f
  WHERE f.position = $1
  UNION ALL SELECT 3::bigint, NULL::boolean, f.position, f.batch, f.actor, f.fingerprint, f.at, f.operation, f.changes
  FROM (SELECT *
  FROM "apportion"."kernel_feed" f
  WHERE f.position > $1
  ORDER BY f.position NULLS FIRST LIMIT 10) f
  UNION ALL SELECT 4::bigint, EXISTS (SELECT 1
  FROM "apportion"."kernel_feed" f
  WHERE f.position IS NULL), NULL::bigint, NULL::uuid, NULL::uuid, NULL::uuid, NULL::timestamptz, NULL::text, NULL::bytea
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
-- a snapshot begins
SELECT 0::bigint, h.position, h.batch, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, NULL::bigint, f.batch, NULL::timestamptz
  FROM "apportion"."kernel_feed" f
  WHERE f.position IS NULL;
-- positions are given
SELECT 0::bigint, EXISTS (SELECT 1
  FROM "apportion"."kernel_feed" f
  WHERE f.position IS NULL)
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1;
begin;
SELECT 0::bigint, h.id
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1 FOR UPDATE;
WITH n AS (SELECT batch, row_number() OVER (ORDER BY arrival, place) AS k
  FROM "apportion"."kernel_feed"
  WHERE position IS NULL
  ORDER BY arrival, place LIMIT 10000), l AS (SELECT batch, k
  FROM n
  ORDER BY k DESC LIMIT 1), u AS (UPDATE "apportion"."kernel_head" AS h SET position = h.position + l.k, batch = l.batch
  FROM l
  WHERE h.id = 1) UPDATE "apportion"."kernel_feed" AS f SET position = h.position + n.k
  FROM n, "apportion"."kernel_head" AS h
  WHERE f.batch = n.batch AND h.id = 1;
commit;
begin;
SELECT 0::bigint, h.id
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1 FOR UPDATE SKIP LOCKED;
WITH n AS (SELECT batch, row_number() OVER (ORDER BY arrival, place) AS k
  FROM "apportion"."kernel_feed"
  WHERE position IS NULL
  ORDER BY arrival, place LIMIT 10000), l AS (SELECT batch, k
  FROM n
  ORDER BY k DESC LIMIT 1), u AS (UPDATE "apportion"."kernel_head" AS h SET position = h.position + l.k, batch = l.batch
  FROM l
  WHERE h.id = 1) UPDATE "apportion"."kernel_feed" AS f SET position = h.position + n.k
  FROM n, "apportion"."kernel_head" AS h
  WHERE f.batch = n.batch AND h.id = 1;
commit;
-- resolve
begin;
SELECT 0::bigint, h.position, h.batch, NULL::uuid, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r))
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, NULL::bigint, r.batch, r.fingerprint, r.at
  FROM "apportion"."kernel_receipts" r
  WHERE r.batch = $1;
INSERT INTO "apportion"."kernel_receipts" (batch, at) VALUES ($1, $2) ON CONFLICT DO NOTHING;
commit;
-- prune
begin;
SELECT 0::bigint, h.id
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1 FOR UPDATE;
WITH n AS (SELECT batch, row_number() OVER (ORDER BY arrival, place) AS k
  FROM "apportion"."kernel_feed"
  WHERE position IS NULL
  ORDER BY arrival, place LIMIT 10000), l AS (SELECT batch, k
  FROM n
  ORDER BY k DESC LIMIT 1), u AS (UPDATE "apportion"."kernel_head" AS h SET position = h.position + l.k, batch = l.batch
  FROM l
  WHERE h.id = 1) UPDATE "apportion"."kernel_feed" AS f SET position = h.position + n.k
  FROM n, "apportion"."kernel_head" AS h
  WHERE f.batch = n.batch AND h.id = 1;
SELECT 0::bigint, h.position, NULL::bigint, NULL::bigint, h.batch, greatest(h.last_at, (SELECT max(r.at)
  FROM "apportion"."kernel_receipts" r)), NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 1::bigint, h.low_position, NULL::bigint, NULL::bigint, NULL::uuid, NULL::timestamptz, NULL::text
  FROM "apportion"."kernel_head" h
  WHERE h.id = 1
  UNION ALL SELECT 2::bigint, t."position", t."revision", t."version", t."batch", NULL::timestamptz, t."name"
  FROM "apportion"."feed_consumers" t;
UPDATE "apportion"."kernel_head" SET low_position = $1, last_at = $2, low_batch = (SELECT f.batch
  FROM "apportion"."kernel_feed" f
  WHERE f.position = $1)
  WHERE id = 1;
DELETE
  FROM "apportion"."kernel_feed"
  WHERE position <= $1;
DELETE
  FROM "apportion"."kernel_receipts"
  WHERE batch IN (SELECT batch
  FROM "apportion"."kernel_receipts"
  WHERE batch <= $1
  ORDER BY batch LIMIT 5000);
commit;
