package essapi_test

import (
	"testing"
	"testing/synctest"
	"time"

	"essworker/internal/essapi"
	"essworker/internal/esssim"
	"essworker/internal/fault"
	"essworker/internal/mask"
)

// TestClient_atTheSimulator: a verifier that was written apart from the signer, and
// that the vendor's SDK passes too, takes what the client sends, and nothing signed
// with another key.
func TestClient_atTheSimulator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := esssim.New(esssim.Config{})
		calls := func(key mask.Secret) []error {
			c, err := essapi.New(essapi.Config{
				Endpoint: "http://127.0.0.1:9080", BasicEndpoint: "http://127.0.0.1:9080", Timeout: time.Minute,
				SecretID: esssim.SecretID, SecretKey: key,
			}, essapi.Options{Transport: sim})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, bind := c.BindEmployee(t.Context(), essapi.BindEmployee{
				Operator: esssim.OperatorUserID, UserID: esssim.EmployeeUserID, OpenID: esssim.EmployeeOpenID,
			})
			_, grant := c.GrantSeal(t.Context(), essapi.GrantSeal{
				AppID: esssim.AppID, OrganizationOpenID: esssim.ClientOpenID, OperatorOpenID: esssim.ClientOperatorOpenID,
				SealID: esssim.SealID, UserIDs: []string{esssim.GranteeUserID},
			})
			_, link := c.CreateSealLink(t.Context(), essapi.CreateSealLink{
				Operator: esssim.OperatorUserID, SceneKey: esssim.SceneKey, ExpiresAt: time.Now().Add(time.Hour),
				Person: essapi.Person{Name: esssim.PersonName, IDCardType: esssim.IDCardType, IDCardNumber: esssim.PersonIDCardNumber},
			})
			return []error{bind, grant, link}
		}
		for i, err := range calls(esssim.SecretKey) {
			if err != nil {
				t.Errorf("call %d = %v, want a success", i, err)
			}
		}
		for i, err := range calls("anotherSecretKey0000000000000000") {
			if f := fault.Of(err); f == nil || f.Kind != fault.Misconfigured || f.Scope != fault.Credential {
				t.Errorf("call %d with another key = %v, want a fault of the credential", i, err)
			}
		}
	})
}
