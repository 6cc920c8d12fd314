package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"eventshop.example/pkg/errs"
	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/order/internal/app"
	"eventshop.example/services/order/order"
)

// etag returns the entity tag of an order at a version (RFC 9110, section 8.8.3).
func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// expected returns the version that If-Match asks for; 0 for "*". It compares strongly: a weak tag
// matches no version. -1 stands for a tag that no version has.
func expected(r *http.Request) (version int64, err error) {
	given := r.Header.Get("If-Match")
	switch {
	case given == "":
		return 0, httpapi.Problem{Type: problems + "if-match", Title: "If-Match is required", Status: http.StatusPreconditionRequired,
			Detail: "send the ETag of the version that you know, so that you do not overwrite what others have changed, or * for any version"}
	case given == "*":
		return 0, nil
	case strings.Contains(given, ","):
		return 0, errs.Field("If-Match", "must be one entity tag, or *")
	}
	n, ok := strings.CutPrefix(given, `"`)
	n, closed := strings.CutSuffix(n, `"`)
	version, err = strconv.ParseInt(n, 10, 64)
	if !ok || !closed || err != nil || version < 1 {
		return -1, nil
	}
	return version, nil
}

func (a *API) startDraft(w http.ResponseWriter, r *http.Request, body PlaceOrder) {
	amounts := newAmounts(body.Currency)
	cmd := app.StartDraft{Customer: customer(body.Customer), Currency: body.Currency}
	if body.ShippingAddress != nil {
		cmd.ShippingAddress = address(*body.ShippingAddress)
	}
	if body.Channel != nil {
		cmd.Channel = order.Channel(*body.Channel)
	}
	if body.Items != nil {
		cmd.Items = amounts.items(*body.Items)
	}
	err := amounts.err()
	if body.Saga != nil {
		err = errors.Join(err, errs.Field("saga", "is given when the draft is placed"))
	}
	if body.TotalAmount != nil {
		err = errors.Join(err, errs.Field("totalAmount", "is computed for a draft"))
	}
	if body.ConfirmWithinSeconds != nil {
		err = errors.Join(err, errs.Field("confirmWithinSeconds", "is given when the draft is placed"))
	}
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.Idempotent(w, r, a.pool, "POST /orders", func(ctx context.Context, tx pgx.Tx) (httpapi.Answer, error) {
		o, committed, err := a.app.StartDraft(ctx, tx, cmd)
		if err != nil {
			return httpapi.Answer{}, err
		}
		w.Header().Set("Location", "/orders/"+o.ID)
		w.Header().Set("ETag", etag(o.Version))
		return httpapi.Answer{Status: http.StatusCreated, Body: view(o), Committed: committed}, nil
	})
}

// change runs a command for a draft. Its Idempotency-Key is for this method and path.
func (a *API) change(w http.ResponseWriter, r *http.Request, run func(ctx context.Context, tx pgx.Tx, expected int64) (order.Order, func(context.Context), error)) {
	version, err := expected(r)
	if err != nil {
		httpapi.WriteError(w, r, httpapi.WithStatus(http.StatusBadRequest, err))
		return
	}
	httpapi.Idempotent(w, r, a.pool, r.Method+" "+r.URL.Path, func(ctx context.Context, tx pgx.Tx) (httpapi.Answer, error) {
		o, committed, err := run(ctx, tx, version)
		if err != nil {
			return httpapi.Answer{}, refusal(err)
		}
		w.Header().Set("ETag", etag(o.Version))
		if o.State.Placed() {
			w.Header().Set(headerVersion, strconv.FormatInt(o.Version, 10)) // of OrderCreated
		}
		return httpapi.Answer{Status: http.StatusOK, Body: view(o), Committed: committed}, nil
	})
}

func (a *API) edit(w http.ResponseWriter, r *http.Request, id uuid.UUID, e order.Edit) {
	a.change(w, r, func(ctx context.Context, tx pgx.Tx, expected int64) (order.Order, func(context.Context), error) {
		return a.app.EditDraft(ctx, tx, id.String(), expected, e)
	})
}

// editItem is edit for an item. Its price is in the order's currency, which never changes.
func (a *API) editItem(w http.ResponseWriter, r *http.Request, id uuid.UUID, item Item, command func(order.Item) order.Edit) {
	o, err := a.app.GetOrder(r.Context(), id.String())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	amounts := newAmounts(o.Currency)
	priced := order.Item{SKU: item.Sku, Quantity: item.Quantity, UnitPrice: amounts.parse("unitPrice", item.UnitPrice)}
	if err := amounts.err(); err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	a.edit(w, r, id, command(priced))
}

// AddItem handles POST /orders/{orderId}/items.
func (a *API) AddItem(w http.ResponseWriter, r *http.Request, id uuid.UUID, _ AddItemParams) {
	item, err := httpapi.Decode[Item](r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	a.editItem(w, r, id, item, func(i order.Item) order.Edit { return order.AddItem(i) })
}

// ChangeItem handles PUT /orders/{orderId}/items/{sku}.
func (a *API) ChangeItem(w http.ResponseWriter, r *http.Request, id uuid.UUID, sku Sku, _ ChangeItemParams) {
	body, err := httpapi.Decode[ChangeItem](r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	item := Item{Sku: sku, Quantity: body.Quantity, UnitPrice: body.UnitPrice}
	a.editItem(w, r, id, item, func(i order.Item) order.Edit { return order.ChangeItem(i) })
}

// RemoveItem handles DELETE /orders/{orderId}/items/{sku}.
func (a *API) RemoveItem(w http.ResponseWriter, r *http.Request, id uuid.UUID, sku Sku, _ RemoveItemParams) {
	a.edit(w, r, id, order.RemoveItem{SKU: sku})
}

// ChangeAddress handles PUT /orders/{orderId}/address.
func (a *API) ChangeAddress(w http.ResponseWriter, r *http.Request, id uuid.UUID, _ ChangeAddressParams) {
	body, err := httpapi.Decode[Address](r)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	a.edit(w, r, id, order.ChangeAddress(address(body)))
}

// DiscardDraft handles DELETE /orders/{orderId}.
func (a *API) DiscardDraft(w http.ResponseWriter, r *http.Request, id uuid.UUID, _ DiscardDraftParams) {
	a.edit(w, r, id, order.Discard{Reason: order.ReasonCustomer})
}

// PlaceDraft handles POST /orders/{orderId}/place.
func (a *API) PlaceDraft(w http.ResponseWriter, r *http.Request, id uuid.UUID, _ PlaceDraftParams) {
	var body PlaceDraft
	if r.ContentLength != 0 {
		var err error
		if body, err = httpapi.Decode[PlaceDraft](r); err != nil {
			httpapi.WriteError(w, r, err)
			return
		}
	}
	a.change(w, r, func(ctx context.Context, tx pgx.Tx, expected int64) (order.Order, func(context.Context), error) {
		return a.app.PlaceDraft(ctx, tx, id, expected, style(body.Saga), seconds(body.ConfirmWithinSeconds))
	})
	a.wake()
}

// ListDrafts handles GET /orders.
func (a *API) ListDrafts(w http.ResponseWriter, r *http.Request, p ListDraftsParams) {
	f := app.DraftFilter{Before: uuid.Max, Limit: defaultLimit}
	if p.CustomerId != nil {
		f.CustomerID = *p.CustomerId
	}
	if p.Cursor != nil {
		f.Before = *p.Cursor
	}
	if p.Limit != nil {
		f.Limit = *p.Limit
	}
	limit := int(f.Limit)
	f.Limit++ // one more row than requested shows whether there is a next page
	rows, err := a.app.Drafts(r.Context(), f)
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, draftPage(rows, limit))
}
