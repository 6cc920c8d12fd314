package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/pgtest"
	"eventshop.example/services/projection"
	"eventshop.example/services/projection/internal/app"
)

// manyRows is the number of rows that no query may sort unless it needs all of them. A list of one customer may sort that
// customer's orders, and an order its timeline.
const manyRows = 1000

// queried is a query of the service with some values.
type queried struct {
	name    string
	schema  string // of the tables
	query   func() error
	indexes []string // that it uses, and no others
	sorts   float64  // the rows that it may sort, where it needs them all; 0: manyRows
}

// TestQueriesUseTheirIndexes explains every query of every projection on a million orders, for rare and for
// common values, as PostgreSQL plans it for these values and as it plans it for any. Each uses its
// index, none reads a whole table, and none sorts many rows.
func TestQueriesUseTheirIndexes(t *testing.T) {
	if testing.Short() {
		t.Skip("a million orders")
	}
	t.Parallel()
	cfg, err := pgxpool.ParseConfig(pgtest.NewURL(t, projection.Components()...))
	if err != nil {
		t.Fatal(err)
	}
	asked := &statements{}
	cfg.ConnConfig.Tracer = asked
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	fillPublic.fill(t, pool)
	fillFurther.fill(t, pool)

	a := app.New(pool)
	const middle, customer = "00080000-0000-7000-8000-000000000000", "c77"
	list := func(f app.Filter) func() error {
		return func() error {
			f.Limit = 201 // the largest page, and one row more
			_, err := a.Orders(t.Context(), f)
			return err
		}
	}
	both := []string{"orders_by_customer", "orders_by_status_and_id"} // of few rows, which are then sorted
	explained := map[string]bool{}
	cases := []queried{
		{"the first page", public, list(app.Filter{}), []string{"orders_pkey"}, 0},
		{"a page in the middle", public, list(app.Filter{Before: middle}), []string{"orders_pkey"}, 0},
		{"a rare status", public, list(app.Filter{Status: "CANCELLING", Before: middle}), []string{"orders_by_status_and_id"}, 0},
		{"a common status", public, list(app.Filter{Status: "DELIVERED", Before: middle}), []string{"orders_by_status_and_id"}, 0},
		{"a customer", public, list(app.Filter{CustomerID: customer, Before: middle}), []string{"orders_by_customer"}, 0},
		{"a rare status of a customer", public, list(app.Filter{CustomerID: customer, Status: "CANCELLING"}), both, 0},
		{"a common status of a customer", public, list(app.Filter{CustomerID: customer, Status: "DELIVERED"}), both, 0},
		{"an order", public, func() error { _, err := a.Order(t.Context(), middle); return err }, []string{"orders_pkey", "order_items_pkey", "timeline_pkey"}, 0},
		{"versions", public, func() error { _, err := a.Versions(t.Context(), []string{middle, customer}); return err }, []string{"orders_pkey"}, 0},
		{"a month's revenue", public, func() error {
			_, err := a.Revenue(t.Context(), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC))
			return err
		}, []string{"revenue_days_pkey"}, 0},
	}
	for _, c := range append(cases, furtherQueries(t, pool)...) {
		asked.take()
		if err := c.query(); err != nil {
			t.Fatal(err)
		}
		for _, s := range asked.take() {
			for _, mode := range []string{"force_custom_plan", "force_generic_plan"} {
				p := explain(t, pool, c.schema, s, mode)
				used := p.check(t, fmt.Sprintf("%s, %s, %s", c.name, s.name(), mode), max(c.sorts, manyRows))
				if len(used) == 0 || slices.ContainsFunc(used, func(index string) bool { return !slices.Contains(c.indexes, index) }) {
					t.Errorf("%s, %s, %s uses %v, want %v", c.name, s.name(), mode, used, c.indexes)
				}
				explained[c.schema+"."+s.name()] = true
			}
		}
	}
	for _, query := range readQueries(t) {
		if !explained[query] {
			t.Errorf("the query %s is not explained", query)
		}
	}
}

// filling is rows of some tables.
type filling struct {
	tables  []string
	inserts []string
}

// fillPublic is a million orders of 10,000 customers, each with an item and a row of the timeline, and the
// revenue of a hundred years.
var fillPublic = filling{[]string{"orders", "order_items", "timeline", "revenue_days"}, []string{
	`INSERT INTO orders (order_id, status, status_version, customer_id, created_at, updated_at)
		SELECT lpad(to_hex(i), 8, '0') || '-0000-7000-8000-000000000000',
			CASE WHEN i % 1000 = 0 THEN 'CANCELLING' WHEN i % 10 = 0 THEN 'CANCELLED' ELSE 'DELIVERED' END,
			5, 'c' || (i::bigint * 7919 % 10000), now(), now()
		FROM generate_series(1, 1000000) i`,
	`INSERT INTO order_items SELECT order_id, 1, 'WIDGET', 1, 100 FROM orders ORDER BY orders.order_id`,
	`INSERT INTO timeline SELECT order_id, order_id::uuid, 'order.events', 'OrderCreated', 2, now() FROM orders ORDER BY orders.order_id`,
	`INSERT INTO revenue_days SELECT '2000-01-01'::date + d, c, 100, 0, 1, 0
		FROM generate_series(0, 40000) d, unnest(ARRAY['GBP', 'EUR', 'USD']) c`,
}}

// fill inserts rows. Without the log, and with the indexes built afterwards that guarantee nothing, this takes
// a third of the time.
func (f filling) fill(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	tables := strings.Join(f.tables, ", ")
	before := []string{
		`SET maintenance_work_mem = '256MB'`,
		`CREATE TEMPORARY TABLE dropped AS SELECT i.indexrelid::regclass::text AS index, pg_get_indexdef(i.indexrelid) AS definition
			FROM pg_index i WHERE NOT i.indisunique AND i.indrelid = ANY('{` + tables + `}'::regclass[])`,
		`DO $$ DECLARE i text; BEGIN FOR i IN SELECT index FROM dropped LOOP EXECUTE 'DROP INDEX ' || i; END LOOP; END $$`,
	}
	for _, table := range f.tables {
		before = append(before, `ALTER TABLE `+table+` SET UNLOGGED`)
	}
	after := []string{
		`DO $$ DECLARE d text; BEGIN FOR d IN SELECT definition FROM dropped LOOP EXECUTE d; END LOOP; END $$`,
		`DROP TABLE dropped`,
		`ANALYZE ` + tables,
	}
	for _, sql := range slices.Concat(before, f.inserts, after) {
		began := time.Now()
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		t.Logf("%.60s: %v", sql, time.Since(began))
	}
}

// statement is a query with its arguments, as the service sends it.
type statement struct {
	sql  string
	args []any
}

// name is sqlc's.
func (s statement) name() string {
	name, _, _ := strings.Cut(strings.TrimPrefix(s.sql, "-- name: "), " ")
	return name
}

// statements notes the queries of a pool.
type statements struct {
	mu  sync.Mutex
	all []statement
}

func (s *statements) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.HasPrefix(q.SQL, "-- name: ") {
		s.all = append(s.all, statement{q.SQL, q.Args})
	}
	return ctx
}

func (s *statements) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// take returns the queries since the last call.
func (s *statements) take() []statement {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.all
	s.all = nil
	return all
}

// plan is a node of a query plan.
type plan struct {
	NodeType  string  `json:"Node Type"`
	Relation  string  `json:"Relation Name"`
	IndexName string  `json:"Index Name"`
	Rows      float64 `json:"Plan Rows"`
	Plans     []plan
}

// check returns the indexes that the plan uses. It may sort so many rows.
func (p plan) check(t *testing.T, what string, sorted float64) (indexes []string) {
	t.Helper()
	switch {
	case p.NodeType == "Seq Scan":
		t.Errorf("%s reads the whole table %s", what, p.Relation)
	case strings.HasSuffix(p.NodeType, "Sort") && p.Rows > sorted:
		t.Errorf("%s sorts %.0f rows", what, p.Rows)
	}
	if p.IndexName != "" {
		indexes = append(indexes, p.IndexName)
	}
	for _, below := range p.Plans {
		indexes = append(indexes, below.check(t, what, sorted)...)
	}
	return indexes
}

// explain returns the plan of a statement on the tables of a schema, of the given plan_cache_mode.
func explain(t *testing.T, pool *pgxpool.Pool, schema string, s statement, mode string) plan {
	t.Helper()
	var text []byte
	err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
		for _, sql := range []string{"SET LOCAL plan_cache_mode = " + mode, "SET LOCAL search_path TO " + schema + ", public", "PREPARE explained AS " + s.sql} {
			if _, err := tx.Exec(t.Context(), sql); err != nil {
				return err
			}
		}
		var values []string
		for _, arg := range s.args {
			values = append(values, literal(t, arg))
		}
		if err := tx.QueryRow(t.Context(), "EXPLAIN (FORMAT JSON) EXECUTE explained ("+strings.Join(values, ", ")+")").Scan(&text); err != nil {
			return err
		}
		_, err := tx.Exec(t.Context(), "DEALLOCATE explained")
		return err
	})
	if err != nil {
		t.Fatalf("explain %s: %v", s.name(), err)
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal(text, &plans); err != nil || len(plans) != 1 {
		t.Fatalf("plan of %s: %v", s.name(), err)
	}
	return plans[0].Plan
}

func literal(t *testing.T, arg any) string {
	t.Helper()
	switch arg := arg.(type) {
	case string:
		return "'" + strings.ReplaceAll(arg, "'", "''") + "'"
	case int32:
		return fmt.Sprint(arg)
	case time.Time:
		return "'" + arg.Format(time.RFC3339) + "'"
	case uuid.UUID:
		return "'" + arg.String() + "'"
	case []string:
		return "'{" + strings.Join(arg, ",") + "}'"
	}
	t.Fatalf("an argument of type %T", arg)
	return ""
}
