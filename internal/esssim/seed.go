package esssim

// The key every Sim knows from the start. Obviously not a real one.
const (
	SecretID  = "AKIDsimulator00000000000000000000EXAMPLE"
	SecretKey = "simulator-secret-key-EXAMPLE"
)

// Product ess: one head organisation with a subsidiary. Ids without a remark are
// those of the vendor's own examples.
const (
	HeadOrganizationID = "yDSimHeadOrganization00000000001" // made up; auto-sign is open

	OperatorUserID     = "yDRSRUUgygj6qnwfUuO4zjEwc193c2hH" // all rights
	LinkOperatorUserID = "yDRCLUUgygq2xuSimulateEwg0vjoimj" // all rights; masked in the example
	EmployeeUserID     = "yDRS4UUgygqdcj56UuO4zjExBQcOiB68" // no rights, not bound
	Employee2UserID    = "yDSLmUUckpou8bj8UyvAk4FBqAoWzvy4" // no rights, not bound
	Employee3UserID    = "yDtwEUUckp7f8w6uUuBHsZJd9KcpXpMH" // no rights, not bound
	FormerEmployeeID   = "yDSimFormerEmployee0000000000001" // made up; has left
	EmployeeOpenID     = "n9527"                            // nobody's yet: for the first bind

	SubsidiaryID         = "yDxbNUyKQDx3oAUuO4zjEBQGidlGe4hP" // auto-sign is not open
	SubsidiaryEmployeeID = "yDSimSubsidiaryEmployee000000001" // made up; not bound
)

// Product essbasic: one application with two client organisations.
const (
	AppID = "yDwhxUUckp3gl8j5UuFX33LSNozpRsbi"

	ClientOpenID         = "org_dianziqian"
	ClientID             = "yDxbWUyKQDxgXVUuO4zjEB8mxCcDjAyF"
	ClientOperatorOpenID = "n9527"                            // all rights
	ClientClerkOpenID    = "n9528"                            // made up; no rights
	GranteeUserID        = "yDxbWUyKQDx7OZUuO4zjESvEkRMHc55R" // OpenId GranteeOpenID
	Grantee2UserID       = "yDxVwUyKQWho8CUuO4zjEyQOAgwvr4Zy" // OpenId Grantee2OpenID
	GranteeOpenID        = "n9529"                            // made up
	Grantee2OpenID       = "n9530"                            // made up
	UnverifiedUserID     = "yDSimUnverifiedEmployee000000001" // made up; cannot be granted anything
	SealID               = "yDxZtUyKQD2JuqUuO4zjERYG3XNeEJXw" // granted to nobody
	Seal2ID              = "yDSimSecondSeal00000000000000001" // made up; granted to GranteeUserID
	StoppedSealID        = "yDSimStoppedSeal0000000000000001" // made up; out of use

	Client2OpenID         = "test_org_openid"
	Client2ID             = "yDSimSecondClient000000000000001" // made up
	Client2OperatorOpenID = "test_openid"                      // all rights
	Client2SealID         = "yDSimSecondClientSeal00000000001" // made up
	Client2GranteeUserID  = "yDSimSecondClientGrantee00000001" // made up
)

// The two persons of the vendor's examples: one with auto-sign for SceneKey, one
// without any.
const (
	SceneKey      = "E_PRESCRIPTION_AUTO_SIGN"
	OtherSceneKey = "OTHER"
	IDCardType    = "ID_CARD"

	PersonName         = "典子谦"
	PersonIDCardNumber = "620000198802020000"

	PersonWithoutName         = "张三"
	PersonWithoutIDCardNumber = "37000019890303000X"
)

// seed makes the state every Sim starts with.
func seed() world {
	w := world{
		orgs:      map[string]*organisation{},
		employees: map[string]*employee{},
		seals:     map[string]*seal{},
		people:    map[identity]map[string]bool{},
		apps:      map[string]map[string]*organisation{},
	}

	head := w.found(organisation{id: HeadOrganizationID, verified: true, autoSign: true})
	sub := w.found(organisation{id: SubsidiaryID, parent: head.id, verified: true})
	client := w.found(organisation{id: ClientID, verified: true})
	client2 := w.found(organisation{id: Client2ID, verified: true})
	w.apps[AppID] = map[string]*organisation{ClientOpenID: client, Client2OpenID: client2}

	for _, e := range []employee{
		{userID: OperatorUserID, org: head, rights: allRights},
		{userID: LinkOperatorUserID, org: head, rights: allRights},
		{userID: EmployeeUserID, org: head},
		{userID: Employee2UserID, org: head},
		{userID: Employee3UserID, org: head},
		{userID: SubsidiaryEmployeeID, org: sub},
		{userID: "yDSimClientOperator0000000000001", openID: ClientOperatorOpenID, org: client, rights: allRights},
		{userID: "yDSimClientClerk0000000000000001", openID: ClientClerkOpenID, org: client},
		{userID: GranteeUserID, openID: GranteeOpenID, org: client},
		{userID: Grantee2UserID, openID: Grantee2OpenID, org: client},
		{userID: "yDSimSecondClientOperator0000001", openID: Client2OperatorOpenID, org: client2, rights: allRights},
		{userID: Client2GranteeUserID, org: client2},
	} {
		e.verified, e.active = true, true
		w.employ(e)
	}
	w.employ(employee{userID: FormerEmployeeID, org: head, verified: true})
	w.employ(employee{userID: UnverifiedUserID, org: client, active: true})

	for _, s := range []seal{
		{id: SealID, org: client, active: true, users: map[string]bool{}},
		{id: Seal2ID, org: client, active: true, users: map[string]bool{GranteeUserID: true}},
		{id: StoppedSealID, org: client, users: map[string]bool{}},
		{id: Client2SealID, org: client2, active: true, users: map[string]bool{}},
	} {
		w.seals[s.id] = &s
	}

	w.people[identity{IDCardType, PersonIDCardNumber, PersonName}] = map[string]bool{SceneKey: true}
	w.people[identity{IDCardType, PersonWithoutIDCardNumber, PersonWithoutName}] = map[string]bool{}
	return w
}
