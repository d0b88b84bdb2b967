/** A UUID of any version, in the one spelling that PostgreSQL gives back, but for upper case. */
export const eventIdShape = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
