package breaker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"eventshop.example/pkg/breaker"
	"eventshop.example/pkg/errs"
)

// The printer of labels is down. After two faults its breaker opens: calls are refused at once, and
// the error says when to come back. A decline is an answer and no fault.
func ExampleBreaker_Do() {
	ctx := context.Background()
	printer := breaker.New(breaker.Config{
		Name: "printer", Failures: 2, OpenFor: 20 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	declined := func(context.Context) error { return errors.New("no label for a parcel without an address") }
	down := func(context.Context) error { return errs.New(errs.Transient, "connection refused") }
	works := func(context.Context) error { return nil }

	fmt.Println(printer.Do(ctx, declined))
	fmt.Println(printer.Do(ctx, down))
	fmt.Println(printer.Do(ctx, down))

	err := printer.Do(ctx, works) // not called
	wait, refused := errs.RetryAfter(err)
	_, open := errors.AsType[*breaker.OpenError](err)
	fmt.Println("refused:", refused, "open:", open, "kind:", errs.KindOf(err))

	<-time.After(wait)
	fmt.Println("the probe:", printer.Do(ctx, works))
	// Output:
	// no label for a parcel without an address
	// connection refused
	// connection refused
	// refused: true open: true kind: transient
	// the probe: <nil>
}
