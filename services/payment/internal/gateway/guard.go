package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eventshop.example/pkg/breaker"
)

// guarded runs an operation through the breaker. It guards operations and not requests, for two
// reasons. What counts is whether the gateway decided. And an operation that is the probe must be
// able to look up by key after its first request.
func (c *Client) guarded(ctx context.Context, what string, operation func(ctx context.Context) (Answer, error)) (Answer, error) {
	answer, err := breaker.Call(ctx, c.breaker, operation)
	if IsRefused(err) {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return answer, err
}

// IsRefused reports whether the breaker refused the operation. The gateway received no request.
func IsRefused(err error) bool {
	_, ok := errors.AsType[*breaker.OpenError](err)
	return ok
}

// Wait returns how long the breaker would refuse operations from now on, or 0 when it would let one
// through. courtesy leaves the breaker's probe to other callers for that long; see
// breaker.Breaker.Wait.
func (c *Client) Wait(courtesy time.Duration) time.Duration { return c.breaker.Wait(courtesy) }
