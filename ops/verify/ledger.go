package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"eventshop.example/ops/jsonhttp"
)

// ledger reads the gateway's own books, page by page.
func ledger(ctx context.Context, gateway string) ([]LedgerEntry, error) {
	var out []LedgerEntry
	api := jsonhttp.New(gateway, http.DefaultClient)
	for after := int64(0); ; {
		var page struct {
			Entries []struct {
				Seq                     int64
				OrderID, Kind, Currency string
				AmountMinor             *int64
				Amount                  json.RawMessage // minor units, if a gateway of an earlier release has no amountMinor
			}
		}
		err := api.Call(ctx, http.MethodGet, "/v1/ledger", url.Values{"after": {strconv.FormatInt(after, 10)}}, nil, &page)
		if u, ok := errors.AsType[*jsonhttp.Unreachable](err); ok {
			return nil, &Unreachable{Part: "the gateway", Address: gateway, Err: withoutURL(u.Unwrap())}
		}
		if err != nil {
			return nil, fmt.Errorf("read the gateway's ledger: %w", err)
		}
		if len(page.Entries) == 0 {
			return out, nil
		}
		for _, e := range page.Entries {
			minor := e.AmountMinor
			if minor == nil && len(e.Amount) > 0 {
				if err := json.Unmarshal(e.Amount, &minor); err != nil {
					return nil, fmt.Errorf("entry %d of the ledger has no amountMinor, and its amount %s is not in minor units: %w", e.Seq, e.Amount, err)
				}
			}
			entry := LedgerEntry{OrderID: e.OrderID, Kind: e.Kind, Currency: e.Currency}
			if minor != nil {
				entry.Amount = *minor
			}
			out, after = append(out, entry), e.Seq
		}
	}
}
