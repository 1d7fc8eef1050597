// Asks the API of a later module for a ride. Until that is there, it says so.
document.getElementById("place").addEventListener("submit", async (event) => {
  event.preventDefault();
  const answer = document.getElementById("answer");
  const { invokeUrl } = window.wildRydes;
  if (!invokeUrl) {
    answer.textContent = "There is no API yet: js/config.js names none.";
    return;
  }
  const place = Object.fromEntries(new FormData(event.target));
  const response = await fetch(`${invokeUrl}/ride`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ PickupLocation: { Latitude: +place.latitude, Longitude: +place.longitude } }),
  });
  const { Unicorn } = await response.json();
  answer.textContent = `${Unicorn.Name} is on the way.`;
});
