package carrier

import (
	"context"
	"errors"
	"fmt"

	"eventshop.example/pkg/breaker"
)

// Breakers are the circuit breakers of a [Client]: one for parcels and one for the feed.
//
// The feed has its own breaker because it is polled several times a second, all the time. With one
// breaker for both, a broken feed would dominate the counts. It would open the breaker within
// seconds and make every probe first, so no parcels could be booked at a carrier that takes them.
// And a feed that works would close the breaker although bookings fail. When the whole carrier is
// unavailable, both breakers open, each after its own failures, which costs a few calls.
type Breakers struct {
	Parcels *breaker.Breaker // Schedule and Cancel; records wait for them
	Feed    *breaker.Breaker // Updates
}

// guarded runs an operation through its breaker. It guards operations and not requests, for two
// reasons. What counts is whether the carrier decided. And an operation that is the probe must be
// able to look up by key after its first request.
func guarded[T any](ctx context.Context, b *breaker.Breaker, what string, operation func(ctx context.Context) (T, error)) (T, error) {
	result, err := breaker.Call(ctx, b, operation)
	if IsRefused(err) {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return result, err
}

// IsRefused reports whether a breaker refused the operation. The carrier received no request.
func IsRefused(err error) bool {
	_, ok := errors.AsType[*breaker.OpenError](err)
	return ok
}
