package order

import (
	"time"

	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/service"
)

// Config holds everything that the environment configures. [Config.Settings] describes the fields.
type Config struct {
	participant.Config
	SagaDeadline  time.Duration
	SnapshotEvery int
	PendingTarget time.Duration
	MaxPending    int
	DraftTTL      time.Duration

	ParticipantCheck time.Duration
}

// Settings declares the environment variables.
func (c *Config) Settings() []service.Setting {
	return append(c.Config.Settings(),
		service.Duration("SAGA_DEADLINE", &c.SagaDeadline, 5*time.Minute, "from accepting an order until it must be confirmed"),
		service.Int("SNAPSHOT_EVERY", &c.SnapshotEvery, 100, 1, 1_000_000, "domain events between two snapshots of an order, stored and published"),
		service.Duration("PENDING_TARGET", &c.PendingTarget, time.Second, "how long accepted orders may wait for their confirmation; above it, while orders are being confirmed, others get 503"),
		service.Int("MAX_PENDING", &c.MaxPending, 200_000, 1, 10_000_000, "most orders that a process accepts while none is confirmed, as in an outage"),
		service.Duration("DRAFT_TTL", &c.DraftTTL, 7*24*time.Hour, "how long a draft may stay unchanged before it is discarded"),
		service.Duration("PARTICIPANT_CHECK", &c.ParticipantCheck, 5*time.Second, "how often Kafka is asked whether every participant knows both styles of the saga"),
	)
}
