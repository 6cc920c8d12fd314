package app_test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"eventshop.example/pkg/projection"
	"eventshop.example/services/projection/internal/activity"
	activitydb "eventshop.example/services/projection/internal/activity/db"
	"eventshop.example/services/projection/internal/db"
	"eventshop.example/services/projection/internal/history"
	historydb "eventshop.example/services/projection/internal/history/db"
	"eventshop.example/services/projection/internal/revenue2"
	revenuedb "eventshop.example/services/projection/internal/revenue2/db"
)

const public = "public"

// schemas are those of the folders with queries. A new folder has to be added here, with its cases.
var schemas = map[string]string{
	"../../queries":       public,
	"../history/queries":  projection.Schema(history.Name, 1),
	"../activity/queries": projection.Schema(activity.Name, 1),
	"../revenue2/queries": projection.Schema(revenue2.Name, revenue2.Number),
}

// readQueries lists all queries that only read, as schema.name.
func readQueries(t *testing.T) (all []string) {
	t.Helper()
	further, err := filepath.Glob("../*/queries/*.sql")
	own, err2 := filepath.Glob("../../queries/*.sql")
	if err != nil || err2 != nil || len(own) == 0 || len(further) < 3 {
		t.Fatalf("%v, %v, %v, %v", own, further, err, err2)
	}
	for _, file := range append(own, further...) {
		schema := schemas[filepath.Dir(file)]
		if schema == "" {
			t.Errorf("the queries of %s are not explained", file)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^-- name: (\w+) :\w+\n(?:--.*\n)*SELECT`).FindAllStringSubmatch(string(text), -1) {
			all = append(all, schema+"."+m[1])
		}
	}
	return all
}

// furtherQueries lists the queries of the projections with a schema of their own, and those of read.sql
// that read a further version.
func furtherQueries(t *testing.T, pool *pgxpool.Pool) []queried {
	const customer, month = "c77", 30 * 1000 // rows of a month, estimated; they are the answer, or summed up
	first, last := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)
	middle := uuid.MustParse("00080000-0000-7000-8000-000000000000")
	in := func(schema string, query func(tx pgx.Tx) error) func() error {
		return func() error {
			return pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), `SET LOCAL search_path TO `+schema+`, public`); err != nil {
					return err
				}
				return query(tx)
			})
		}
	}
	orders, events, revenue := schemas["../history/queries"], schemas["../activity/queries"], schemas["../revenue2/queries"]
	historyOf := func(customer, before string) func() error {
		return in(orders, func(tx pgx.Tx) error {
			_, err := historydb.New(tx).ListOrders(t.Context(), historydb.ListOrdersParams{CustomerID: customer, Before: before, MaxRows: 201})
			return err
		})
	}
	activityOf := func(customer string, before uuid.UUID) func() error {
		return in(events, func(tx pgx.Tx) error {
			_, err := activitydb.New(tx).ListActivity(t.Context(), activitydb.ListActivityParams{CustomerID: customer, Before: before, MaxRows: 201})
			return err
		})
	}
	itemsOf := func(sku, region string) func() error {
		return in(revenue, func(tx pgx.Tx) error {
			_, err := revenuedb.New(tx).ListItems(t.Context(), revenuedb.ListItemsParams{FromDay: first, ToDay: last, Sku: sku, Region: region})
			return err
		})
	}
	// Of a customer with many orders, the orders of all customers are read in their order, and the customer's are kept.
	return []queried{
		{"the history of a customer", orders, historyOf(customer, uuid.Max.String()), []string{"customer_orders_of"}, 0},
		{"the history of a customer with a tenth of all orders", orders, historyOf("many", middle.String()), []string{"customer_orders_of", "customer_orders_pkey"}, 0},
		{"the history of a customer without orders", orders, historyOf("none", middle.String()), []string{"customer_orders_of"}, 0},
		{"the activity of a customer", events, activityOf(customer, uuid.Max), []string{"customer_activity_of"}, 0},
		{"the activity of a customer with a tenth of all orders", events, activityOf("many", middle), []string{"customer_activity_of", "customer_activity_pkey"}, 0},
		{"the activity of a customer without orders", events, activityOf("none", middle), []string{"customer_activity_of"}, 0},
		{"a month of all items", revenue, itemsOf("", ""), []string{"revenue_items_pkey"}, month},
		{"a month of a SKU in a region", revenue, itemsOf("SKU-7", "R3"), []string{"revenue_items_pkey"}, 30},
		{"a month's revenue of version 2", revenue, in(revenue, func(tx pgx.Tx) error {
			_, err := db.New(tx).Revenue(t.Context(), db.RevenueParams{FromDay: first, ToDay: last})
			return err
		}), []string{"revenue_items_pkey", "revenue_money_by_day"}, month},
	}
}

// fillFurther is a million orders in the projections with a schema of their own: a tenth is of one
// customer, the others of 9,000. The revenue is of three years, with 900 rows of SKUs and regions per day.
var fillFurther = filling{[]string{
	"customer_orders_v1.customer_orders", "customer_activity_v1.customer_activity", "revenue_v2.revenue_items", "revenue_v2.revenue_money",
}, []string{
	`INSERT INTO customer_orders_v1.customer_orders (order_id, customer_id, placed_at, status, status_version, status_at)
		SELECT lpad(to_hex(i), 8, '0') || '-0000-7000-8000-000000000000',
			CASE WHEN i % 10 = 0 THEN 'many' ELSE 'c' || (i::bigint * 7919 % 10000) END, now(), 'DELIVERED', 5, now()
		FROM generate_series(1, 1000000) i`,
	`INSERT INTO customer_activity_v1.customer_activity (event_id, order_id, customer_id, topic, event_type, detail, occurred_at)
		SELECT order_id::uuid, order_id, customer_id, 'order.events', 'OrderCreated', '', now() FROM customer_orders_v1.customer_orders`,
	`INSERT INTO revenue_v2.revenue_items
		SELECT '2024-01-01'::date + d, 'GBP', 'R' || r, 'SKU-' || s, 100, 0, 1, 0
		FROM generate_series(0, 1110) d, generate_series(1, 9) r, generate_series(1, 100) s`,
	`INSERT INTO revenue_v2.revenue_money (order_id, event_id, day, currency, amount, payment, shared)
		SELECT order_id, order_id::uuid, '2024-01-01'::date + (random() * 1110)::int, 'GBP', 100, true, true FROM customer_orders_v1.customer_orders`,
}}
