package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/bench/database"
	"eventshop.example/bench/shop"
)

// peerDatabase is the copy of the order service's database that the peer of post writes to.
const peerDatabase = "peer"

// rows are the rows that the order service writes for one POST, by table. The peer writes them again
// with fresh ids, so it does what the service does at the moment, whatever that is.
type rows struct {
	tables []postTable
	ids    []string     // that occur in the rows, and are different for each order
	drawn  atomic.Int64 // the numbers that copies have drawn
}

// firstDrawn is above the numbers that the service has drawn.
const firstDrawn = 1 << 40

// postTable is one table and its rows of one order. A value is text, or nil for NULL.
type postTable struct {
	name    string
	columns []string
	types   []string
	draws   []bool      // by column: a number that another table's identity column has drawn
	values  [][]*string // by column, as the INSERT takes them
	insert  string
}

// template has the order service accept one order while its relay cannot publish, and takes the rows.
// It makes the peer's database.
func template(ctx context.Context, s *shop.Stack) (*rows, error) {
	if err := s.Stop(ctx, "broker"); err != nil {
		return nil, err
	}
	before, err := takeRowsOf(ctx, s.Server, nil)
	if err != nil {
		return nil, err
	}
	c := s.NewClient(1)
	if _, _, err := c.Order(ctx, 0, ""); err != nil {
		return nil, err
	}
	if err := s.Stop(ctx, "order"); err != nil {
		return nil, err
	}
	// Tables that had rows before, such as the relay's leases, are not about orders.
	taken, err := takeRowsOf(ctx, s.Server, before.tables)
	if err != nil {
		return nil, err
	}
	if len(taken.tables) < 3 {
		return nil, fmt.Errorf("only %d tables have rows of the order", len(taken.tables))
	}
	taken.findIDs()
	if err := s.Server.Copy(ctx, peerDatabase, "order"); err != nil {
		return nil, err
	}
	return taken, s.Start(ctx, "broker", "order")
}

// takeRowsOf takes the rows of all tables of the order service that have some, except the given ones.
func takeRowsOf(ctx context.Context, server *database.Server, except []postTable) (*rows, error) {
	conn, err := pgx.Connect(ctx, server.URL("order"))
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	found, err := conn.Query(ctx, `
		SELECT c.relname, array_agg(a.attname::text ORDER BY a.attnum), array_agg(format_type(a.atttypid, a.atttypmod) ORDER BY a.attnum),
			array_agg(EXISTS (SELECT FROM pg_attribute i JOIN pg_class o ON o.oid = i.attrelid
				WHERE o.relnamespace = c.relnamespace AND i.attname = a.attname AND i.atttypid = a.atttypid AND i.attidentity <> '') ORDER BY a.attnum)
		FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = 'public'::regnamespace
			AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' AND a.attidentity = ''
			AND c.relname NOT LIKE '%\_migrations'
		GROUP BY c.relname ORDER BY c.relname`)
	if err != nil {
		return nil, err
	}
	tables, err := pgx.CollectRows(found, func(row pgx.CollectableRow) (t postTable, err error) {
		return t, row.Scan(&t.name, &t.columns, &t.types, &t.draws)
	})
	if err != nil {
		return nil, err
	}
	r := &rows{}
	for _, t := range tables {
		if slices.ContainsFunc(except, func(other postTable) bool { return other.name == t.name }) {
			continue
		}
		if err := t.take(ctx, conn); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
		if len(t.values[0]) > 0 {
			r.tables = append(r.tables, t)
		}
	}
	return r, nil
}

// take reads the rows of the table, which has only those of one order, in the order of insertion.
func (t *postTable) take(ctx context.Context, conn *pgx.Conn) error {
	texts, casts, params := make([]string, len(t.columns)), make([]string, len(t.columns)), make([]string, len(t.columns))
	quoted := make([]string, len(t.columns))
	for i, name := range t.columns {
		quoted[i] = pgx.Identifier{name}.Sanitize()
		texts[i] = quoted[i] + "::text"
		casts[i] = fmt.Sprintf("c%d::%s", i, t.types[i])
		params[i] = fmt.Sprintf("$%d::text[]", i+1)
	}
	t.values = make([][]*string, len(t.columns))
	found, err := conn.Query(ctx, fmt.Sprintf(`SELECT %s FROM %s ORDER BY tableoid, ctid`, strings.Join(texts, ", "), pgx.Identifier{t.name}.Sanitize()))
	if err != nil {
		return err
	}
	row := make([]*string, len(t.columns))
	into := make([]any, len(t.columns))
	for i := range row {
		into[i] = &row[i]
	}
	_, err = pgx.ForEachRow(found, into, func() error {
		for i := range row {
			t.values[i] = append(t.values[i], row[i])
		}
		return nil
	})
	names := make([]string, len(t.columns))
	for i := range names {
		names[i] = fmt.Sprintf("c%d", i)
	}
	t.insert = fmt.Sprintf(`INSERT INTO %s (%s) SELECT %s FROM unnest(%s) WITH ORDINALITY AS r (%s, n) ORDER BY n`,
		pgx.Identifier{t.name}.Sanitize(), strings.Join(quoted, ", "), strings.Join(casts, ", "), strings.Join(params, ", "), strings.Join(names, ", "))
	return err
}

// findIDs lists the UUIDs in the rows.
func (r *rows) findIDs() {
	pattern := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)
	seen := map[string]bool{}
	for _, t := range r.tables {
		for _, column := range t.values {
			for _, v := range column {
				if v == nil {
					continue
				}
				for _, id := range pattern.FindAllString(*v, -1) {
					if !seen[id] {
						seen[id] = true
						r.ids = append(r.ids, id)
					}
				}
			}
		}
	}
}

// batch returns the statements of one POST, to be sent at once.
func (r *rows) batch() *pgx.Batch {
	pairs := make([]string, 0, 2*len(r.ids))
	for _, id := range r.ids {
		pairs = append(pairs, id, uuid.Must(uuid.NewV7()).String())
	}
	fresh := strings.NewReplacer(pairs...)
	b := &pgx.Batch{}
	b.Queue(`BEGIN`)
	b.Queue(`SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))`, pairs[1])
	b.Queue(`SELECT request_hash, status, headers, body FROM idempotency_keys
		WHERE caller = 'anonymous' AND scope = $1 AND key = $2 AND created_at > now() - interval '24 hours'`, "orders", pairs[1])
	for _, t := range r.tables {
		args := make([]any, len(t.values))
		for i, column := range t.values {
			if args[i] = replaced(column, fresh); t.draws[i] {
				args[i] = r.draw(len(column))
			}
		}
		b.Queue(t.insert, args...)
	}
	b.Queue(`COMMIT`)
	return b
}

// draw returns n numbers that were not drawn before.
func (r *rows) draw(n int) []string {
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = strconv.FormatInt(firstDrawn+r.drawn.Add(1), 10)
	}
	return numbers
}

func replaced(column []*string, fresh *strings.Replacer) []*string {
	values := make([]*string, len(column))
	for i, v := range column {
		if v != nil {
			text := fresh.Replace(*v)
			values[i] = &text
		}
	}
	return values
}

// check fails when the two databases do not have the same number of rows per order in each table: the
// peer would have done other work than the service.
func (r *rows) check(ctx context.Context, server *database.Server) error {
	for _, t := range r.tables {
		var perOrder [2]float64
		for i, name := range []string{"order", peerDatabase} {
			conn, err := pgx.Connect(ctx, server.URL(name))
			if err != nil {
				return err
			}
			err = conn.QueryRow(ctx, fmt.Sprintf(`SELECT count(*)::float8 / (SELECT count(*) FROM idempotency_keys) FROM %s`,
				pgx.Identifier{t.name}.Sanitize())).Scan(&perOrder[i])
			conn.Close(ctx)
			if err != nil {
				return err
			}
		}
		queue := perOrder[0] < perOrder[1] // the relay removes rows of a queue
		if perOrder[0] != perOrder[1] && !queue {
			return fmt.Errorf("%s has %.2f rows per order from the service and %.2f from the peer", t.name, perOrder[0], perOrder[1])
		}
	}
	return nil
}
