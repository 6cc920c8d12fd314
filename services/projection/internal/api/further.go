package api

import (
	"fmt"
	"math/big"
	"net/http"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/projection/internal/activity"
	activitydb "eventshop.example/services/projection/internal/activity/db"
	"eventshop.example/services/projection/internal/history"
	historydb "eventshop.example/services/projection/internal/history/db"
	"eventshop.example/services/projection/internal/revenue2"
	revenuedb "eventshop.example/services/projection/internal/revenue2/db"
)

// Handlers of the projections that have a Postgres schema of their own. Each reads the live version.

// start returns the size of a page of a list, and the id before which it begins.
func start(limit *int32, cursor *string, l list) (n int32, at uuid.UUID, err error) {
	n, at = defaultLimit, uuid.Max
	if limit != nil {
		n = *limit
	}
	if cursor != nil {
		at, err = before(*cursor, l)
	}
	return n, at, err
}

// GetCustomerHistory handles GET /customers/{customerId}/history.
func (a *API) GetCustomerHistory(w http.ResponseWriter, r *http.Request, customerID string, p GetCustomerHistoryParams) {
	entries := list{history.Name, customerID}
	n, at, err := start(p.Limit, p.Cursor, entries)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	var rows []historydb.ListOrdersRow
	err = a.app.Live(r.Context(), history.Name, func(tx pgx.Tx, _ int) (err error) {
		// One more row than requested shows whether there is a next page.
		rows, err = historydb.New(tx).ListOrders(r.Context(), historydb.ListOrdersParams{CustomerID: customerID, Before: at.String(), MaxRows: n + 1})
		return err
	})
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	v := CustomerHistory{Orders: []HistoryEntry{}}
	for _, row := range rows[:min(len(rows), int(n))] {
		id, err := uuid.Parse(row.OrderID)
		if err != nil {
			httpapi.WriteError(w, r, errs.Wrap(errs.Internal, err, "order id in the read model"))
			return
		}
		v.Orders = append(v.Orders, HistoryEntry{
			OrderId: id, Status: row.Status, TotalAmount: httpapi.FormatAmount(row.TotalAmount, row.Currency), Currency: row.Currency,
			Pieces: row.Pieces, PlacedAt: value(row.PlacedAt), Since: value(row.StatusAt),
		})
	}
	if len(rows) > int(n) {
		next := cursorBehind(v.Orders[n-1].OrderId, entries)
		v.NextCursor = &next
	}
	httpapi.WriteJSON(w, http.StatusOK, v)
}

// GetCustomerActivity handles GET /customers/{customerId}/activity.
func (a *API) GetCustomerActivity(w http.ResponseWriter, r *http.Request, customerID string, p GetCustomerActivityParams) {
	entries := list{activity.Name, customerID}
	n, at, err := start(p.Limit, p.Cursor, entries)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	var rows []activitydb.ListActivityRow
	err = a.app.Live(r.Context(), activity.Name, func(tx pgx.Tx, _ int) (err error) {
		rows, err = activitydb.New(tx).ListActivity(r.Context(), activitydb.ListActivityParams{CustomerID: customerID, Before: at, MaxRows: n + 1})
		return err
	})
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	v := CustomerActivity{Entries: []ActivityEntry{}}
	for _, row := range rows[:min(len(rows), int(n))] {
		id, err := uuid.Parse(row.OrderID)
		if err != nil {
			httpapi.WriteError(w, r, errs.Wrap(errs.Internal, err, "order id in the read model"))
			return
		}
		service, _, _ := strings.Cut(row.Topic, ".") // topics are named <service>.events
		v.Entries = append(v.Entries, ActivityEntry{
			EventId: row.EventID, OrderId: id, Type: row.EventType, Service: service, OccurredAt: row.OccurredAt, Detail: present(row.Detail),
		})
	}
	if len(rows) > int(n) {
		next := cursorBehind(v.Entries[n-1].EventId, entries)
		v.NextCursor = &next
	}
	httpapi.WriteJSON(w, http.StatusOK, v)
}

// GetRevenueItems handles GET /revenue/items.
func (a *API) GetRevenueItems(w http.ResponseWriter, r *http.Request, p GetRevenueItemsParams) {
	first, last, err := span(p.From, p.To)
	var rows []revenuedb.ListItemsRow
	if err == nil {
		err = a.app.Live(r.Context(), revenue2.Name, func(tx pgx.Tx, version int) (err error) {
			if version < revenue2.Number {
				return errs.New(errs.Conflict, "version %d of the revenue is live, and only version %d has SKUs and regions", version, revenue2.Number)
			}
			rows, err = revenuedb.New(tx).ListItems(r.Context(), revenuedb.ListItemsParams{
				FromDay: first, ToDay: last, Sku: value(p.Sku), Region: value(p.Region),
			})
			return err
		})
	}
	v := RevenueItems{From: date(first), To: date(last), Items: []RevenueItem{}}
	for _, row := range rows {
		var item RevenueItem
		if item, err = revenueItem(row); err != nil {
			break
		}
		v.Items = append(v.Items, item)
	}
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, v)
}

func revenueItem(row revenuedb.ListItemsRow) (RevenueItem, error) {
	v := RevenueItem{
		Day: date(row.Day), Currency: row.Currency, Region: row.Region, Sku: row.Sku, Payments: row.Payments, Refunds: row.Refunds,
	}
	for _, sum := range []struct {
		text string
		into *Amount
	}{{row.Captured, &v.Captured}, {row.Refunded, &v.Refunded}, {row.Net, &v.Net}} {
		n, ok := new(big.Int).SetString(sum.text, 10)
		if !ok {
			return v, fmt.Errorf("revenue in the read model is %q", sum.text)
		}
		*sum.into = httpapi.FormatSum(n, row.Currency)
	}
	return v, nil
}
