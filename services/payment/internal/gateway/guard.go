package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	"eventshop.example/pkg/breaker"
)

// guarded makes an operation when the breaker lets it. It stands around operations and
// not around requests: what counts is whether the gateway gave a decision, and an
// operation that is the probe must be able to ask by key after its first request.
func (c *Client) guarded(ctx context.Context, what string, operation func(ctx context.Context) (Answer, error)) (Answer, error) {
	answer, err := breaker.Call(ctx, c.breaker, operation)
	if IsRefused(err) {
		err = fmt.Errorf("%s: %w", what, err)
	}
	return answer, err
}

// IsRefused tells an operation that the breaker refused: the gateway has heard nothing of
// it.
func IsRefused(err error) bool {
	_, ok := errors.AsType[*breaker.OpenError](err)
	return ok
}

// Wait is how long operations would be refused from now on, 0 when one would be let
// through. courtesy leaves the breaker's probe to others for that long; see
// breaker.Breaker.Wait.
func (c *Client) Wait(courtesy time.Duration) time.Duration { return c.breaker.Wait(courtesy) }
