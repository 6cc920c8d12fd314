package worker_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eventshop.example/pkg/backoff"
	"eventshop.example/pkg/worker"
)

// A loop takes what is due, a set at a time. One item that fails does not delay the others of its set.
func ExampleLoop() {
	ctx, stop := context.WithCancel(context.Background())
	due := []string{"book-1", "book-2", "book-3"}
	const batch = 2
	remind := func(_ context.Context, books ...string) error { // in one transaction
		for _, b := range books {
			if b == "book-2" {
				return errors.New("no reader")
			}
		}
		fmt.Println("reminded of", books)
		return nil
	}
	_ = worker.Loop{
		Every: time.Minute, Failing: backoff.Policy{Base: time.Millisecond, Max: time.Second},
		Round: func(ctx context.Context) (more bool, err error) {
			set := due[:min(batch, len(due))]
			due = due[len(set):]
			if len(due) == 0 {
				stop()
			}
			return len(set) == batch, worker.Each(ctx, set, func(book string) string { return book }, remind)
		},
		Failed: func(_ context.Context, err error, failures int, pause time.Duration) {
			fmt.Println("failed:", err, "- next try in", pause)
		},
	}.Run(ctx) // until the context ends
	// Output:
	// reminded of [book-1]
	// failed: book-2: no reader - next try in 2ms
	// reminded of [book-3]
}
