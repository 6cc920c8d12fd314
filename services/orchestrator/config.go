package orchestrator

import "eventshop.example/pkg/participant"

// Config holds everything that the environment configures. The orchestrator has no settings of its own:
// how long answers may take is part of a saga's definition.
type Config struct {
	participant.Config
}
