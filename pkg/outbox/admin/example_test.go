package admin_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/outbox"
	"eventshop.example/pkg/outbox/admin"
	"eventshop.example/pkg/outbox/outboxtest"
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

// The broker lost its data. Its topics are created again while the relays are on hold, and the
// rows that the table still has are sent again after Release.
func ExampleAdmin_Republish() {
	ctx := context.Background()
	pool, drop, err := pgtest.ExampleDB(ctx, outbox.Component())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	out := outboxtest.Outbox()
	err = postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
		for version := range int64(3) {
			if err := out.Append(ctx, tx, outbox.Entry{Event: outboxtest.Happened{Key: "k"}, Version: version + 1}); err != nil {
				return err
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM outbox_queue`) // as a relay does
		return err
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	operators := admin.Admin{Pool: pool, Wake: out.Wake}
	if err := operators.Hold(ctx, "the broker's disk is gone"); err != nil {
		fmt.Println(err)
		return
	}
	rows, err := operators.Republish(ctx, admin.Selection{})
	fmt.Println(rows, "rows are published again,", err)
	fmt.Println(operators.Release(ctx))
	d, err := operators.Describe(ctx)
	fmt.Println(d.Unpublished, "unpublished,", d.Published, "published,", len(d.Holds), "holds,", err)
	// Output:
	// 3 rows are published again, <nil>
	// <nil>
	// 3 unpublished, 0 published, 0 holds, <nil>
}
