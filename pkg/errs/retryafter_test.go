package errs_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"eventshop.example/pkg/errs"
)

// busy asks for a wait, and may have a cause that asks for another.
type busy struct {
	wait  time.Duration
	cause error
}

func (b busy) Error() string             { return "busy" }
func (b busy) Unwrap() error             { return b.cause }
func (b busy) RetryAfter() time.Duration { return b.wait }

func TestRetryAfter(t *testing.T) {
	five, nine := busy{wait: 5 * time.Second}, busy{wait: 9 * time.Second}
	tests := map[string]struct {
		err  error
		want time.Duration
		ok   bool
	}{
		"nil":                  {nil, 0, false},
		"says nothing":         {errs.New(errs.Transient, "down"), 0, false},
		"plain":                {five, 5 * time.Second, true},
		"wrapped":              {fmt.Errorf("charge: %w", five), 5 * time.Second, true},
		"with a kind":          {errs.Wrap(errs.Transient, five, "charge"), 5 * time.Second, true},
		"kind inside %w":       {errs.New(errs.Transient, "charge: %w", fmt.Errorf("call: %w", five)), 5 * time.Second, true},
		"outermost counts":     {fmt.Errorf("x: %w", busy{wait: 9 * time.Second, cause: five}), 9 * time.Second, true},
		"joined: first counts": {errors.Join(errors.New("x"), five, nine), 5 * time.Second, true},
		"the wait is over":     {busy{wait: -time.Second}, 0, true},
		"at once":              {busy{}, 0, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, ok := errs.RetryAfter(tt.err)
			if got != tt.want || ok != tt.ok {
				t.Errorf("RetryAfter(%v) = %s, %t, want %s, %t", tt.err, got, ok, tt.want, tt.ok)
			}
		})
	}
}
