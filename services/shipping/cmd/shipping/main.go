// Command shipping runs the shipping service. Its settings are environment variables;
// see the README beside the service's go.mod.
package main

import (
	"eventshop.example/pkg/service"
	"eventshop.example/services/shipping"
)

func main() { service.Main("shipping", shipping.ConfigFromEnv, shipping.Run) }
