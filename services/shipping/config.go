package shipping

import (
	"time"

	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/service"
)

// Config holds everything that the environment configures. [Config.Settings] describes the fields.
type Config struct {
	participant.Config
	CarrierURL     string
	CarrierTimeout time.Duration
	TrackEvery     time.Duration
	Breaker        participant.Breaker // around the carrier: one for parcels, one for the feed
}

// Settings declares the environment variables.
func (c *Config) Settings() []service.Setting {
	own := []service.Setting{
		service.Required("CARRIER_URL", &c.CarrierURL, "the parcel carrier's API"),
		service.Duration("CARRIER_TIMEOUT", &c.CarrierTimeout, 2*time.Second, "one request to the carrier"),
		service.Duration("TRACK_EVERY", &c.TrackEvery, 250*time.Millisecond, "pause between two looks at the carrier's tracking feed"),
	}
	return append(append(c.Config.Settings(), own...), c.Breaker.Settings("CARRIER_BREAKER")...)
}
