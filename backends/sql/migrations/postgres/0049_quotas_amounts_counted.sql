-- What the live instances hold was not counted before.
UPDATE {{quotas}} SET "cpu_milli" = "held"."cpu_milli", "memory_mib" = "held"."memory_mib", "storage_mib" = "held"."storage_mib"
FROM (
    SELECT "owner_id", CAST(sum("cpu_milli") AS bigint) AS "cpu_milli", CAST(sum("memory_mib") AS bigint) AS "memory_mib",
        CAST(sum("storage_mib") AS bigint) AS "storage_mib"
    FROM {{instances}} WHERE "node_id" IS NOT NULL GROUP BY "owner_id"
) AS "held"
WHERE {{quotas}}."account_id" = "held"."owner_id";
