// Filled in by the later modules of the workshop.
window.wildRydes = { userPoolId: "", clientId: "", region: "us-east-1", invokeUrl: "" };
