// Command projection runs the projection service. Its settings are environment variables.
// `projection settings` lists them.
package main

import (
	"eventshop.example/pkg/participant"
	"eventshop.example/services/projection"
)

func main() { participant.Main("projection", "orderId", projection.Run, projection.Components()) }
