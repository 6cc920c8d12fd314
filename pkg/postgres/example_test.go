package postgres_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/postgres"
)

func TestMain(m *testing.M) {
	if err := pgtest.SkipExamples(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// A transfer reads once and writes twice, in two round trips: BEGIN with the read, the writes with
// COMMIT. The second transfer is refused by the database when its writes arrive.
func ExampleInPipeline() {
	ctx := context.Background()
	pool, drop, err := pgtest.ExampleDB(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	_, err = pool.Exec(ctx, `CREATE TABLE jars (name text PRIMARY KEY, beans int CHECK (beans <= 10)); INSERT INTO jars VALUES ('left', 9), ('right', 3)`)
	if err != nil {
		fmt.Println(err)
		return
	}
	move := func(n int) error {
		return postgres.InPipeline(ctx, pool, func(tx pgx.Tx) error {
			var beans int
			if err := tx.QueryRow(ctx, `SELECT beans FROM jars WHERE name = $1 FOR UPDATE`, "left").Scan(&beans); err != nil {
				return err
			}
			if beans < n {
				return errs.New(errs.Conflict, "%d beans are not enough", beans)
			}
			for name, change := range map[string]int{"left": -n, "right": n} {
				failed := func(err error) error { return fmt.Errorf("change %s: %w", name, err) }
				if _, err := postgres.Later(tx, failed).Exec(ctx, `UPDATE jars SET beans = beans + $2 WHERE name = $1`, name, change); err != nil {
					return err
				}
			}
			return nil
		})
	}
	fmt.Println(move(1))
	err = move(8)
	fmt.Println(errs.KindOf(err), postgres.State(err))
	fmt.Println(move(9))
	var left int
	err = pool.QueryRow(ctx, `SELECT beans FROM jars WHERE name = 'left'`).Scan(&left)
	fmt.Println(left, err)
	// Output:
	// <nil>
	// invalid 23514
	// 8 beans are not enough
	// 8 <nil>
}
