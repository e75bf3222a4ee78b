-- Until now everything that was wanted was so.
UPDATE {{instances}} SET "desired" = CASE "state" WHEN 'stopped' THEN 'stopped' ELSE 'deleted' END WHERE "state" IN ('stopped', 'deleting', 'deleted');
