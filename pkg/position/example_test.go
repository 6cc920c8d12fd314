package position_test

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/pgtest"
	"eventshop.example/pkg/position"
	"eventshop.example/pkg/postgres"
)

func TestMain(m *testing.M) {
	if err := pgtest.SkipExamples(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// The records at the offsets 0 to 2 are read twice, the second time with one more. Each has its effect
// once, because the effect is in the transaction that moved the position.
func ExampleAdvance() {
	ctx := context.Background()
	pool, drop, err := pgtest.ExampleDB(ctx, position.Component())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer drop()
	if _, err := pool.Exec(ctx, `CREATE TABLE parcels_in (total int); INSERT INTO parcels_in VALUES (0)`); err != nil {
		fmt.Println(err)
		return
	}
	parcels := position.Partition{Topic: "parcel.events", TopicID: uuid.Must(uuid.NewV7()), Number: 0}

	for _, offsets := range [][]int64{{0, 1, 2}, {0, 1, 2, 3}} {
		err := postgres.InTx(ctx, pool, func(tx pgx.Tx) error {
			behind := offsets[len(offsets)-1] + 1
			before, err := position.Advance(ctx, tx, "statistics", map[position.Partition]int64{parcels: behind})
			if err != nil {
				return err
			}
			fresh := 0
			for _, offset := range offsets {
				if offset >= before[parcels] {
					fresh++
				}
			}
			_, err = tx.Exec(ctx, `UPDATE parcels_in SET total = total + $1`, fresh) // the effect
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
	// Output: parcels: 4 <nil>
}
