package projection

import (
	"errors"
	"time"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/projection"
	"eventshop.example/pkg/service"
	"eventshop.example/services/projection/internal/fresh"
)

// maxReadWait leaves a request, which has ten seconds, enough time for its queries.
const maxReadWait = 5 * time.Second

// Config holds everything that the environment configures. [Config.Settings] describes the fields.
type Config struct {
	participant.Config
	ReadWait     time.Duration // 0: the default
	ReadsWaiting int           // 0: the default
	FillSet      int           // 0: the default
}

// Settings declares the environment variables.
func (c *Config) Settings() []service.Setting {
	return append(c.Config.Settings(),
		service.Duration("READ_WAIT", &c.ReadWait, fresh.DefaultWait, "longest wait of a read with `minVersion`; at most 5s"),
		service.Int("READS_WAITING", &c.ReadsWaiting, fresh.DefaultMost, 1, 100_000, "most reads that wait at the same time; others get 503"),
		service.Int("FILL_SET", &c.FillSet, projection.DefaultFillSet, 1, 100_000, "most records in one transaction of a filling of a read model"),
	)
}

// Check returns an error that names every variable whose value does not fit.
func (c *Config) Check() error {
	var own error
	if c.ReadWait > maxReadWait {
		own = errs.New(errs.Invalid, "READ_WAIT is %v; at most %v", c.ReadWait, maxReadWait)
	}
	return errors.Join(c.Config.Check(), own)
}
