package carrier

import (
	"context"
	"errors"
	"fmt"

	"eventshop.example/pkg/breaker"
)

// Breakers are the circuit breakers of a Client, one for each road to the carrier.
//
// The feed has its own because its polls come several a second and for ever. Through one
// breaker for both a broken feed would soon be all that is counted: it would open the
// breaker within seconds, be the first at every probe, and so keep parcels from being
// booked at a carrier that takes them. The other way round, a feed that answers would
// close the breaker before a booking that fails. When the carrier is away altogether both
// open, each after faults of its own, which costs a handful of calls.
type Breakers struct {
	Parcels *breaker.Breaker // Schedule and Cancel, for which records wait
	Feed    *breaker.Breaker // Updates
}

// guarded makes an operation when its breaker lets it. It stands around operations and
// not around requests: what counts is whether the carrier gave a decision, and an
// operation that is the probe must be able to ask by key after its first request.
func guarded[T any](ctx context.Context, b *breaker.Breaker, what string, operation func(ctx context.Context) (T, error)) (T, error) {
	result, err := breaker.Call(ctx, b, operation)
	if IsRefused(err) {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return result, err
}

// IsRefused tells an operation that a breaker refused: the carrier has heard nothing of
// it.
func IsRefused(err error) bool {
	_, ok := errors.AsType[*breaker.OpenError](err)
	return ok
}
