package payment

import (
	"time"

	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/service"
	"eventshop.example/services/payment/internal/app"
)

const (
	// attemptRequests is the maximum number of requests per attempt to return money: void, lookup
	// by key, refund, lookup by key.
	attemptRequests = 4
	// attemptRest is the time that an attempt needs besides its requests: a claim and a
	// transaction.
	attemptRest = 2 * time.Second
)

// Config holds everything that the environment configures. [Config.Settings] describes the fields.
type Config struct {
	participant.Config
	GatewayURL     string
	GatewayTimeout time.Duration
	Breaker        participant.Breaker // around the gateway

	RefundMaxAttempts int
	RefundBackoffBase time.Duration
	RefundBackoffMax  time.Duration
	RefundDeadline    time.Duration
}

// Settings declares the environment variables.
func (c *Config) Settings() []service.Setting {
	own := []service.Setting{
		service.Required("GATEWAY_URL", &c.GatewayURL, "the card gateway's API"),
		service.Duration("GATEWAY_TIMEOUT", &c.GatewayTimeout, 2*time.Second, "one request to the gateway"),
		service.Int("REFUND_MAX_ATTEMPTS", &c.RefundMaxAttempts, 8, 1, 1000, "then a person is asked"),
		service.Duration("REFUND_BACKOFF_BASE", &c.RefundBackoffBase, 500*time.Millisecond, "wait after the first attempt, doubling"),
		service.Duration("REFUND_BACKOFF_MAX", &c.RefundBackoffMax, 30*time.Second, "longest wait: with the defaults a gateway may be away for a minute"),
		service.Duration("REFUND_DEADLINE", &c.RefundDeadline, time.Hour, "from then on attempts that the breaker refuses count too"),
	}
	return append(append(c.Config.Settings(), own...), c.Breaker.Settings("GATEWAY_BREAKER")...)
}

// refunds returns the configuration of the worker that returns money.
func (c *Config) refunds() app.Refunds {
	return app.Refunds{
		MaxAttempts: c.RefundMaxAttempts,
		BackoffBase: c.RefundBackoffBase,
		BackoffMax:  c.RefundBackoffMax,
		Deadline:    c.RefundDeadline,
		Lease:       attemptRequests*c.GatewayTimeout + attemptRest,
	}
}
