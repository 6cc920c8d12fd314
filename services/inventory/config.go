package inventory

import (
	"strconv"
	"strings"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/participant"
	"eventshop.example/pkg/service"
	"eventshop.example/services/inventory/inventory"
)

// Config holds everything that the environment configures. [Config.Settings] describes the fields.
type Config struct {
	participant.Config
	InitialStock map[string]int64 // pieces of each SKU
}

// Settings declares the environment variables.
func (c *Config) Settings() []service.Setting {
	return append(c.Config.Settings(),
		service.Parsed("INITIAL_STOCK", &c.InitialStock, "`SKU=pieces`, comma between", "none", parseStock,
			"up to 10^15 pieces each; a SKU that was stocked before keeps what it has"),
	)
}

func parseStock(list string) (map[string]int64, error) {
	stock := map[string]int64{}
	for entry := range strings.SplitSeq(list, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		sku, pieces, ok := strings.Cut(entry, "=")
		n, err := strconv.ParseInt(pieces, 10, 64)
		if !ok || sku == "" || err != nil || n < 0 {
			return nil, errs.New(errs.Invalid, "INITIAL_STOCK: %q is not SKU=pieces", entry)
		}
		if n > inventory.MaxPieces {
			return nil, errs.New(errs.Invalid, "INITIAL_STOCK: %q is more than %d pieces", entry, inventory.MaxPieces)
		}
		stock[sku] = n
	}
	return stock, nil
}
