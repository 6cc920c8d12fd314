package orchestrator

import (
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/service"
	"eventshop.example/services/orchestrator/orchestrator"
)

// beginUnder is the definition that new sagas begin under unless the setting says otherwise. It is one
// that the processes of the release before know too.
const beginUnder = 1

// Config holds everything that the environment configures. [Config.Settings] describes the fields. How
// long answers may take is no setting: it is part of a saga's definition.
type Config struct {
	participant.Config
	Definition int // version that new sagas begin under; 0: the newest
}

// Settings declares the environment variables.
func (c *Config) Settings() []service.Setting {
	all := orchestrator.Definitions()
	return append(c.Config.Settings(), service.Int("SAGA_DEFINITION", &c.Definition, beginUnder, 0, all[len(all)-1].Version,
		"the version of the steps that new sagas begin under, which every process must know; 0: the newest"))
}
