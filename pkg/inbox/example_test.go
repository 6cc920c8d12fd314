package inbox_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/inbox"
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

// A message is delivered twice and has its effect once, because the effect is in the transaction
// that received the message as fresh.
func ExampleReceive() {
	ctx := context.Background()
	pool, drop, err := pgtest.ExampleDB(ctx, inbox.Component())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	if _, err := pool.Exec(ctx, `CREATE TABLE parcels_in (total int); INSERT INTO parcels_in VALUES (0)`); err != nil {
		fmt.Println(err)
		return
	}
	accepted := inbox.Message{ID: uuid.Must(uuid.NewV7()), Type: "ParcelAccepted"}

	for range 2 {
		err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			fresh, err := inbox.Receive(ctx, tx, "statistics", []inbox.Message{accepted})
			if err != nil || !fresh[accepted.ID] {
				return err
			}
			_, err = tx.Exec(ctx, `UPDATE parcels_in SET total = total + 1`) // the effect
			return err
		})
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	var total int
	err = pool.QueryRow(ctx, `SELECT total FROM parcels_in`).Scan(&total)
	fmt.Println("parcels:", total, err)
	// Output: parcels: 1 <nil>
}
