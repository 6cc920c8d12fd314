// Command projection runs the projection service. Its settings are environment variables; the
// comments of projection.Config name them.
package main

import (
	"eventshop.example/pkg/migration"
	"eventshop.example/pkg/service"
	"eventshop.example/services/projection"
)

func main() {
	service.Main("projection", projection.ConfigFromEnv, projection.Run, migration.Command(projection.Components()))
}
