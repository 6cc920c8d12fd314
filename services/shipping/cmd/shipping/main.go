// Command shipping runs the shipping service. Its settings are environment variables; the
// comments of shipping.Config name them.
package main

import (
	"eventshop.example/pkg/migration"
	"eventshop.example/pkg/service"
	"eventshop.example/services/shipping"
)

func main() {
	service.Main("shipping", shipping.ConfigFromEnv, shipping.Run, migration.Command(shipping.Components()))
}
