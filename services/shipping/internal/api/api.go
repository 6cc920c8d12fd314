// Package api is the shipping service's HTTP edge: it decodes a request, calls the use
// case, and encodes the answer. What a request may look like is in openapi.yaml, which
// httpapi.Validator enforces before a handler runs. It only reads: a shipment changes by
// events and by the carrier's tracking feed.
//
// Errors become problem details by their kind (httpapi.WriteError): bad input is never a
// 5xx.
package api

import (
	"net/http"

	"github.com/google/uuid"

	"eventshop.example/pkg/httpapi"
	"eventshop.example/services/shipping/internal/app"
)

// API implements the generated ServerInterface.
type API struct {
	app *app.App
}

// GetShipment answers GET /shipments/{orderId}.
func (a *API) GetShipment(w http.ResponseWriter, r *http.Request, id uuid.UUID) {
	s, err := a.app.Shipment(r.Context(), id.String())
	if err != nil {
		httpapi.WriteError(w, r, err)
		return
	}
	httpapi.WriteJSON(w, http.StatusOK, view(id, s))
}

func view(id uuid.UUID, s app.Shipment) Shipment {
	v := Shipment{
		OrderId: id, State: string(s.State), Version: s.Version,
		Carrier: present(s.Carrier), ShipmentId: present(s.ShipmentID), TrackingId: present(s.TrackingID),
		Reason: present(s.Reason), Detail: present(s.Detail),
		DispatchedAt: s.DispatchedAt, DeliveredAt: s.DeliveredAt,
		CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt,
	}
	if s.Address != nil {
		v.ShippingAddress = &Address{
			Street: s.Address.Street, City: s.Address.City, PostalCode: s.Address.PostalCode, Country: s.Address.Country,
		}
		items := make([]Item, len(s.Items))
		for i, it := range s.Items {
			items[i] = Item{Sku: it.SKU, Quantity: it.Quantity}
		}
		v.Items = &items
	}
	return v
}

// present leaves an empty text out of the answer.
func present(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
