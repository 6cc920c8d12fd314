package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// ledger reads the gateway's own books, page by page.
func ledger(ctx context.Context, gateway string) ([]LedgerEntry, error) {
	var out []LedgerEntry
	for after := int64(0); ; {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, gateway+"/v1/ledger?after="+strconv.FormatInt(after, 10), nil)
		if err != nil {
			return nil, err
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return nil, err
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil {
			return nil, err
		}
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("%s: %s", res.Status, body)
		}
		var page struct {
			Entries []struct {
				Seq                     int64
				OrderID, Kind, Currency string
				Amount                  int64
			}
		}
		if err := json.Unmarshal(body, &page); err != nil {
			return nil, err
		}
		if len(page.Entries) == 0 {
			return out, nil
		}
		for _, e := range page.Entries {
			out = append(out, LedgerEntry{OrderID: e.OrderID, Kind: e.Kind, Currency: e.Currency, Amount: e.Amount})
			after = e.Seq
		}
	}
}
