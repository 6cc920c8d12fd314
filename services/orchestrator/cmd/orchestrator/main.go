// Command orchestrator runs the orchestrator of sagas. Its settings are environment variables.
// `orchestrator settings` lists them.
package main

import (
	"eventshop.example/pkg/participant"
	"eventshop.example/services/orchestrator"
)

func main() { participant.Main("orchestrator", "orderId", orchestrator.Run, orchestrator.Components()) }
