/** Everything that the catalogs say about a schema, as text that can be compared. */
import type pg from "pg";

const statement = `
with relation as (
  select c.oid, c.relname, c.relkind, c.relpersistence, c.reloptions, c.reltoastrelid
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
   where n.nspname = $1 and c.relkind in ('r', 'v', 'm', 'p', 'S'))
select line from (
  select format('%s %s %s %s toast %s', relkind, relname, relpersistence, reloptions,
                (select t.reloptions from pg_class t where t.oid = reltoastrelid)) as line
    from relation
  union all
  select format('column %s.%s %s null=%s identity=%s generated=%s default=%s comment=%s', relname, attname,
                format_type(atttypid, atttypmod), not attnotnull, attidentity, attgenerated,
                pg_get_expr(d.adbin, d.adrelid), col_description(relation.oid, attnum))
    from relation
    join pg_attribute a on a.attrelid = relation.oid and attnum > 0 and not attisdropped
    left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
   where relkind <> 'S'
  union all
  select format('index %s valid=%s', replace(pg_get_indexdef(indexrelid), quote_ident($1) || '.', ''), indisvalid)
    from relation join pg_index on indrelid = relation.oid
  union all
  select format('constraint %s %s', conname, pg_get_constraintdef(k.oid))
    from relation join pg_constraint k on conrelid = relation.oid
  union all
  select format('comment %s %s', relname, obj_description(oid, 'pg_class')) from relation
  union all
  select format('function %s %s %s', p.proname, obj_description(p.oid, 'pg_proc'), pg_get_functiondef(p.oid))
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
   where n.nspname = $1
) as described
order by line collate "C"`;

export async function describeSchema(client: pg.Client, schema: string): Promise<string[]> {
  const { rows } = await client.query<{ line: string }>(statement, [schema]);
  return rows.map(({ line }) => line);
}
